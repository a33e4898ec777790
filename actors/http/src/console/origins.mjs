// Where text comes from that its author did not write token by token: how it is marked, and what the marks mean.

import { el, setText } from "./dom.mjs";

const ORIGINS = { forced: "forced by the constraint", accepted: "accepted from a draft" };

/** The class of a run; none for what was written, and for origins that this page does not know. */
export function markOf(origin) {
  return Object.hasOwn(ORIGINS, origin) ? `origin ${origin}` : "";
}

/** The marks that an answer has, in words; out of sight while it has none. */
export class Marks {
  #drafted = 0;
  #accepted = 0;
  #items = new Map();

  constructor() {
    this.element = el("ul", { class: "marks", "aria-label": "Marks", hidden: true });
  }

  /** Text of this origin is there. */
  saw(origin) {
    if (!markOf(origin) || this.#items.has(origin)) return;
    const tail = el("span");
    this.#items.set(origin, tail);
    this.element.append(el("li", { class: "chip" }, el("span", { class: markOf(origin) }, ORIGINS[origin]), tail));
    this.element.hidden = false;
    this.#count();
  }

  /** Drafts were checked. */
  drafts({ drafted, accepted }) {
    this.#drafted += drafted;
    this.#accepted += accepted;
    this.#count();
  }

  #count() {
    const tail = this.#items.get("accepted");
    if (tail && this.#drafted > 0) setText(tail, ` (${this.#accepted} of ${this.#drafted} tokens)`);
  }
}
