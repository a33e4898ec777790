// The page: a conversation, the settings of its next request, and the node that answers.

import { Announcer } from "./announcer.mjs";
import { Answer } from "./answer.mjs";
import { ApiError, chat } from "./api.mjs";
import { byId, el, setText } from "./dom.mjs";
import { CONSTRAINTS } from "./examples.mjs";
import { NodePanel } from "./node.mjs";
import { SettingError, Settings } from "./settings.mjs";

/** What one may begin with: a prompt and the constraint that suits it. */
const STARTERS = [
  { title: "A question", prompt: "What is the capital of Portugal, and which river does it lie on?", kind: "" },
  { title: "JSON by a schema", prompt: CONSTRAINTS.json_schema.prompt, kind: "json_schema" },
  { title: "SQL for tables", prompt: CONSTRAINTS.sql_schema.prompt, kind: "sql_schema" },
];

const prompt = byId("prompt");
const scroll = byId("scroll");
const announcer = new Announcer(byId("announcer"));
const settings = new Settings(() => setText(byId("asks"), settings.describe()));
const node = new NodePanel(
  () => settings.key.value,
  () => settings.refresh(),
);

/** Turns that the model is told: `{role, content}`. In memory only. */
let conversation = [];
/** Of the answer that is being written, or null. */
let running = null;

/** The end of the conversation stays in sight unless somebody scrolled away from it. */
function follow() {
  const away = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight;
  if (away < 120) scroll.scrollTop = scroll.scrollHeight;
}
new ResizeObserver(follow).observe(byId("turns"));

function show(busy) {
  byId("send").hidden = busy;
  byId("stop").hidden = !busy;
}

/** The turns of a request: the system prompt, the conversation, and what is asked now. */
function messages(asked) {
  const system = settings.system ? [{ role: "system", content: settings.system }] : [];
  return [...system, ...conversation, { role: "user", content: asked }];
}

/** The request for what is asked now; null, having said why, where a setting is wrong. */
function compose(asked) {
  try {
    return { ...settings.request(), messages: messages(asked) };
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    refuse(error);
    return null;
  }
}

async function ask(asked, request) {
  byId("welcome").hidden = true;
  const answer = new Answer({
    say: (line) => announcer.say(line),
    sizes: () => node.sizes,
    formal: settings.formal,
    retry: () => {
      const again = running ? null : compose(asked);
      if (!again) return;
      turn.remove();
      prompt.focus();
      ask(asked, again);
    },
  });
  const question = el("section", { class: "question" }, el("h3", { class: "sr-only" }, "You"), el("p", {}, asked));
  const turn = el("li", { class: "turn" }, question, answer.element);
  byId("turns").append(turn);
  scroll.scrollTop = scroll.scrollHeight;
  announcer.clear();

  const stopping = new AbortController();
  running = stopping;
  show(true);
  try {
    for await (const chunk of chat(request, settings.key.value, stopping.signal)) {
      if (chunk.understudy) answer.event(chunk.understudy);
      for (const { delta } of chunk.choices ?? []) announcer.read(delta?.content ?? "");
    }
    if (!answer.complete) throw new ApiError({ message: "The stream ended before the answer did." });
    remember(asked, answer.text);
  } catch (error) {
    // A conversation that was left behind says nothing any more.
    if (!turn.isConnected) return;
    if (error.name === "AbortError") {
      answer.stopped();
      remember(asked, answer.text);
    } else {
      answer.failed(error instanceof ApiError ? error : new ApiError({ message: String(error.message) }));
    }
  } finally {
    if (running === stopping) {
      announcer.flush();
      announcer.say(answer.outcome);
      running = null;
      show(false);
    }
  }
}

/** Turns without an answer are not told to the model: most templates want user and assistant in turn. */
function remember(asked, answered) {
  if (answered) conversation.push({ role: "user", content: asked }, { role: "assistant", content: answered });
}

/** A setting is wrong: it is shown and said at its field. */
function refuse({ field, message }) {
  view("settings");
  field.setCustomValidity(message);
  field.reportValidity();
  field.addEventListener("input", () => field.setCustomValidity(""), { once: true });
  announcer.say(message);
}

function stop() {
  running?.abort();
}

function newChat() {
  stop();
  running = null;
  show(false);
  conversation = [];
  byId("turns").replaceChildren();
  byId("welcome").hidden = false;
  announcer.clear();
  view("chat");
  prompt.focus();
}

/** On narrow screens one of chat, settings and node is in sight. */
function view(name) {
  document.body.dataset.view = name;
  for (const button of document.querySelectorAll(".views button")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === name));
  }
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = prompt.value.trim();
  prompt.focus();
  const request = asked && !running ? compose(asked) : null;
  if (!request) return;
  prompt.value = "";
  ask(asked, request);
});
prompt.addEventListener("keydown", (event) => {
  // While a word is composed (East Asian input), Enter belongs to the composition.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("composer").requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running) stop();
});
byId("stop").addEventListener("click", () => {
  stop();
  prompt.focus();
});
byId("new-chat").addEventListener("click", newChat);
byId("show-authors").addEventListener("click", ({ currentTarget }) => {
  const plain = document.body.classList.toggle("plain");
  currentTarget.setAttribute("aria-pressed", String(!plain));
});
for (const button of document.querySelectorAll(".views button")) {
  button.addEventListener("click", () => view(button.dataset.view));
}
for (const { title, prompt: text, kind } of STARTERS) {
  const begin = () => {
    settings.choose(kind);
    prompt.value = text;
    prompt.focus();
  };
  byId("starters").append(
    el("li", {}, el("button", { type: "button", onclick: begin }, el("strong", {}, title), el("span", {}, text))),
  );
}

setText(byId("asks"), settings.describe());
settings.refresh();
node.watch();
