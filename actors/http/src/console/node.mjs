// The node as it is now: asked each second while somebody looks.

import { status } from "./api.mjs";
import { shortName } from "./authors.mjs";
import { compared } from "./cost.mjs";
import { byId, el, setFacts, setText } from "./dom.mjs";
import { bytes, count, duration, rate } from "./format.mjs";

const EACH_MS = 1_000;
/** Where the node does not answer, it is asked less often. */
const LATER_MS = 5_000;
/** Seconds that the small curve shows. */
const CURVE = 60;

/** States of a slot as lamps. */
const LAMPS = {
  ready: "good",
  self: "good",
  alive: "good",
  failed: "bad",
  dead: "bad",
  absent: "off",
  unloaded: "off",
  known: "off",
  left: "off",
};

export class NodePanel {
  #rates = [];
  #before = null;
  /** Bytes of the models' files. */
  sizes = new Map();

  /** `key()` gives the API key; `changed` is called when the set of models changed. */
  constructor(key, changed) {
    Object.assign(this, { key, changed });
  }

  /** Asks for ever. A hidden page asks nothing. */
  async watch() {
    for (;;) {
      let pause = EACH_MS;
      if (!document.hidden) {
        try {
          this.#show(await status(this.key()));
        } catch (error) {
          pause = LATER_MS;
          this.#before = null;
          const locked = error.status === 401 || error.status === 403;
          this.#health(locked ? "locked" : "bad", locked ? "needs an API key" : "not reachable");
        }
      }
      await new Promise((resume) => setTimeout(resume, pause));
    }
  }

  #health(state, text) {
    byId("lamp").dataset.state = state;
    setText(byId("health"), text);
  }

  #show({ node, models = [], requests = {}, totals = {}, adapters = [], nodes = [] }) {
    const version = `version ${node.version}, up ${duration(node.uptime_s * 1000)}`;
    if (node.draining) this.#health("busy", "stopping");
    else this.#health("good", version);
    this.#speed(totals.tokens ?? 0);
    this.#slots(models);
    this.#requests(requests, totals);
    this.#saved(totals);
    list("adapters", adapters, (adapter) => card(adapter.name, adapter.state ?? "ready", [shortName(adapter.model ?? "")]));
    list("nodes", nodes, member);
  }

  /** Tokens of the last second, over all requests. */
  #speed(tokens) {
    const now = performance.now();
    const before = this.#before;
    this.#before = { tokens, now };
    if (!before) return;
    const perSecond = Math.max(0, (tokens - before.tokens) / ((now - before.now) / 1000));
    this.#rates = [...this.#rates, perSecond].slice(-CURVE);
    setText(byId("speed"), rate(perSecond));
    const most = Math.max(...this.#rates, 1);
    const points = this.#rates.map((one, at) => `${at + CURVE - this.#rates.length},${19 - (one / most) * 17}`);
    byId("spark").firstElementChild.setAttribute("points", points.join(" "));
  }

  #slots(models) {
    const names = models.map((model) => model.model).join();
    this.sizes = new Map(models.map((model) => [model.model, model.bytes]));
    const slots = models
      .filter(({ state }) => !["absent", "unloaded"].includes(state))
      .sort((a, b) => shortName(a.model).localeCompare(shortName(b.model)));
    byId("no-slots").hidden = slots.length > 0;
    reuse(byId("slots"), slots, slot);
    if (this.names !== undefined && this.names !== names) this.changed();
    this.names = names;
  }

  #requests({ running = 0, waiting = {} }, { requests = 0 }) {
    const facts = [["Running", String(running)]];
    for (const priority of ["interactive", "agent", "batch"]) {
      facts.push([`Waiting, ${priority}`, String(waiting[priority] ?? 0)]);
    }
    setFacts(byId("queue"), [...facts, ["Answered so far", requests.toLocaleString("en")]]);
  }

  #saved({ bytes_read: read = 0, bytes_teacher_alone: alone = 0, tokens = 0, teacher_tokens = 0, wasted_tokens = 0 }) {
    const known = read > 0 && alone > 0;
    setText(byId("saved"), known ? compared(read, alone) : "nothing yet");
    const help = known
      ? `Estimate: read ${bytes(read)}; the last rung alone would have read about ${bytes(alone)}.`
      : "Bytes read, against what the last rung alone would have read.";
    setText(byId("saved-help"), help);
    setFacts(byId("totals"), [
      ["Tokens", tokens.toLocaleString("en")],
      ["By the teacher", teacher_tokens.toLocaleString("en")],
      ["Wasted", wasted_tokens.toLocaleString("en")],
    ]);
  }
}

/** A section that is there only where it has something to show. */
function list(id, items, make) {
  byId(`${id}-section`).hidden = items.length === 0;
  reuse(byId(id), items, make);
}

/** Replaces only items that changed: a page that is read aloud or selected stays undisturbed. */
function reuse(parent, items, make) {
  items.forEach((item, at) => {
    const said = JSON.stringify(item);
    const old = parent.children[at];
    if (old?.dataset.said === said) return;
    const fresh = make(item);
    fresh.dataset.said = said;
    if (old) old.replaceWith(fresh);
    else parent.append(fresh);
  });
  while (parent.children.length > items.length) parent.lastChild.remove();
}

function card(name, state, details, extra = null) {
  return el(
    "li",
    { class: "card" },
    el(
      "p",
      { class: "card-head" },
      el("span", { class: "lamp", "data-state": LAMPS[state] ?? "busy" }),
      el("strong", {}, name),
    ),
    ...[state, ...details].filter(Boolean).map((text) => el("p", { class: "card-detail" }, text)),
    extra,
  );
}

/** A node of the cluster. */
function member(node) {
  const state = node.draining ? "draining" : (node.state ?? "alive");
  const away = node.round_trip_us > 0 ? `${(node.round_trip_us / 1000).toFixed(1)} ms away` : "";
  const work = `${node.running ?? 0} running, ${node.waiting ?? 0} waiting`;
  const models = (node.models ?? []).map(shortName).join(", ");
  return card(node.name, state, [node.addr ?? "", [node.device, away].filter(Boolean).join(", "), work, models, node.detail]);
}

function slot(model) {
  const work = `${model.active} active, ${model.waiting} waiting`;
  const speed = model.decode_tok_s > 0 ? `${rate(model.decode_tok_s)} tokens/s` : "";
  const size = [model.bytes > 0 && bytes(model.bytes), model.numerics].filter(Boolean).join(", ");
  const restarts = model.restarts > 0 ? `${count(model.restarts, "restart")}` : "";
  const fetching = model.state === "fetching" && model.bytes > 0;
  const done = fetching
    ? el("progress", { max: model.bytes, value: model.done_bytes, "aria-label": `Fetching ${shortName(model.model)}` })
    : null;
  const detail = ["ready", "fetching"].includes(model.state) ? "" : model.detail;
  const details = [work, speed, size, restarts, detail];
  return card(shortName(model.model), model.state, details, done);
}
