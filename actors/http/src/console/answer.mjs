// One answer on the page, from the request that was sent to its account.

import { account } from "./account.mjs";
import { pageOf } from "./api.mjs";
import { Cast } from "./authors.mjs";
import { againstLast, compared } from "./cost.mjs";
import { el, setText } from "./dom.mjs";
import { bytes, count, duration, rate } from "./format.mjs";
import { Marks } from "./origins.mjs";
import { Prose } from "./prose.mjs";
import { Timeline } from "./timeline.mjs";
import { Transcript, words } from "./transcript.mjs";

/** What a reader should know of an end that is not an ordinary one. */
const ENDS = {
  length: "Cut: it reached the most tokens that it may have, or the model's context.",
  deadline: "Cut: its time was over.",
  interrupted: "Cut: the model was lost and no other could go on.",
  cancelled: "Stopped.",
};

export class Answer {
  #cast = new Cast();
  #transcript = new Transcript();
  #timeline = new Timeline();
  #happened = [];
  #ladder = [];
  #prose = new Prose();
  #marks = new Marks();
  #began = performance.now();
  #frame = 0;
  #finished = null;

  /**
   * `say` announces a line to screen readers, `sizes()` gives the bytes of models' files, `formal` is true where a
   * constraint asks for code or data, `retry` asks again.
   */
  constructor({ say, sizes, formal, retry }) {
    Object.assign(this, { say, sizes, retry });
    /** How it ended, in a line; to be said after the last of its text. */
    this.outcome = "";
    this.title = el("h4", {}, "Answer");
    this.legend = el("ul", { class: "legend", "aria-label": "Authors" });
    this.progress = el("p", { class: "progress" }, "Waiting for the first word");
    this.foot = el("div", { class: "answer-foot" });
    this.prose = this.#prose.element;
    this.prose.classList.toggle("mono", formal);
    this.element = el(
      "article",
      { class: "answer", "aria-busy": "true" },
      el("header", {}, this.title, this.legend, this.#marks.element),
      this.prose,
      this.progress,
      this.foot,
    );
  }

  /** The text so far, without what was withdrawn. */
  get text() {
    return this.#transcript.text();
  }

  /** Whether the node said that it is whole. */
  get complete() {
    return this.#finished !== null;
  }

  /** A native event of the stream. */
  event(event) {
    const at = performance.now() - this.#began;
    this.#timeline.on(event, at);
    switch (event.type) {
      case "started":
        this.#started(event);
        break;
      case "loading":
        this.#loading(event);
        break;
      case "delta":
        this.#transcript.add(event.model, event.text, event.origin);
        this.#marks.saw(event.origin);
        setText(this.progress, "");
        this.#draw();
        break;
      case "decided":
        this.#happened.push(event);
        if (event.to) this.say(`${this.#cast.of(event.to).name} takes over: ${event.reason}.`);
        if (event.to) setText(this.progress, `${this.#cast.of(event.to).name} takes over`);
        break;
      case "drafted":
        this.#marks.drafts(event);
        break;
      case "validated":
        this.#validated(event);
        break;
      case "retracted":
        this.#retracted(event);
        break;
      case "finished":
        this.#finish(event);
        break;
      default:
      // Kinds that this page does not know are left out, as the API asks.
    }
  }

  #started({ policy, ladder }) {
    this.#ladder = ladder;
    this.#cast = new Cast(ladder);
    setText(this.title, policy);
    this.element.classList.toggle("single", ladder.length < 2);
    this.legend.replaceChildren(
      ...this.#cast.all().map(({ name, sign, style }) =>
        el("li", { class: `chip author-${style}` }, el("span", { class: "sign" }, sign), " ", el("span", { class: "name" }, name)),
      ),
    );
  }

  #loading({ model, source, done_bytes: done, total_bytes: total }) {
    const { name } = this.#cast.of(model);
    const share = total > 0 ? ` ${Math.floor((done / total) * 100)} % of ${bytes(total)}` : "";
    setText(this.progress, source ? `Fetching ${name}${share}` : `Loading ${name}`);
  }

  #validated({ model, name, verdict, detail, ms }) {
    const found = detail ? `${verdict}, ${detail}` : verdict;
    this.#happened.push({ kind: "validated", from: model, to: "", reason: `${name}: ${found} (${duration(ms)})` });
    setText(this.progress, `${name}: ${found}`);
    this.say(`${name}: ${found}.`);
  }

  #retracted({ bytes: length, model, reason }) {
    const before = words(this.text);
    this.#transcript.retract(length, reason, model);
    this.#happened.push({ kind: "retract", from: model, to: "", reason });
    this.say(`${count(before - words(this.text), "word")} withdrawn.`);
    this.#draw();
  }

  /** At most one drawing for each frame, however fast events come. */
  #draw() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#prose.show(this.#transcript.pieces, this.#cast);
    });
  }

  #finish(finished) {
    this.#finished = finished;
    this.#transcript.settle(finished.text, finished.ledger.spans);
    const { name } = this.#cast.of(finished.model);
    const end = ENDS[finished.finish_reason];
    this.outcome = `Answer complete, ${count(words(finished.text), "word")}, by ${name}.${end ? ` ${end}` : ""}`;
    this.#end(end ?? "");
    this.foot.append(
      this.#summary(finished),
      account({
        finished,
        happened: this.#happened.length > 0 ? this.#happened : finished.ledger.decisions,
        layout: this.#timeline.layout(finished.ledger, finished.timing.total_ms),
        cast: this.#cast,
      }),
    );
  }

  #summary({ usage, timing, ledger, model }) {
    const facts = [
      `by ${this.#cast.of(model).name}`,
      count(usage.completion_tokens, "token"),
      duration(timing.total_ms),
      `${rate(timing.decode_tok_s)} tokens/s`,
    ];
    const cost = againstLast(ledger, this.#ladder, usage.completion_tokens, this.sizes());
    const line = el("p", { class: "summary" }, facts.join(" · "));
    const saved =
      cost &&
      el(
        "p",
        { class: "saved" },
        el("strong", {}, compared(cost.read, cost.alone)),
        `: read ${bytes(cost.read)}; ${this.#cast.of(cost.last).name} alone about ${bytes(cost.alone)} (estimate)`,
      );
    return el("div", { class: "sums" }, line, saved, this.#copy());
  }

  /** The clipboard is there on secure origins and on this machine. */
  #copy() {
    if (!navigator.clipboard) return null;
    const button = el("button", { type: "button", class: "quiet copy" }, "Copy");
    button.addEventListener("click", async () => {
      const done = await navigator.clipboard.writeText(this.text).then(
        () => true,
        () => false,
      );
      setText(button, done ? "Copied" : "Not allowed");
      this.say(done ? "Copied." : "The browser did not allow to copy.");
      setTimeout(() => setText(button, "Copy"), 1_500);
    });
    return button;
  }

  /** Somebody stopped it. */
  stopped() {
    this.outcome = "Stopped.";
    this.#end("Stopped. What is written stays part of the conversation.");
  }

  /** The node refused or was lost; `error` is an `ApiError`. */
  failed(error) {
    const page = pageOf(error.code);
    const wait = error.retryAfter === null ? "" : ` Try again in ${duration(error.retryAfter * 1000)}.`;
    this.outcome = `Error. ${error.message} ${error.help}${wait}`;
    this.#end("");
    this.foot.append(
      el(
        "div",
        { class: "error", role: "group", "aria-label": "Error" },
        el("p", { class: "error-code" }, error.code || "Error"),
        el("p", {}, error.message),
        (error.help || wait) && el("p", { class: "error-help" }, `${error.help}${wait}`),
        el("button", { type: "button", class: "quiet", onclick: this.retry }, "Try again"),
        page && el("a", { href: page, target: "_blank", rel: "noopener noreferrer" }, `About ${error.code}`),
      ),
    );
  }

  #end(note) {
    cancelAnimationFrame(this.#frame);
    this.#frame = -1;
    this.#prose.show(this.#transcript.pieces, this.#cast);
    this.element.setAttribute("aria-busy", "false");
    if (note) setText(this.progress, note);
    else this.progress.remove();
  }
}
