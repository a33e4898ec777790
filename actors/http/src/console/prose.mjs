// The text of an answer on the page: each piece marked by its author, its runs by where they come from; what was withdrawn
// struck through and then folded.

import { el, setText } from "./dom.mjs";
import { count } from "./format.mjs";
import { markOf } from "./origins.mjs";
import { words } from "./transcript.mjs";

/** How long withdrawn text stays in sight. */
const FOLD_MS = 2_500;

/** Shows a `Transcript`'s pieces in `element`, changing only what changed. */
export class Prose {
  #nodes = new Map();

  constructor() {
    this.element = el("div", { class: "prose" });
  }

  show(pieces, cast) {
    const kept = new Map();
    let cursor = this.element.firstChild;
    let before = null;
    for (const piece of pieces) {
      const node = this.#nodes.get(piece) ?? make(piece, cast);
      kept.set(piece, node);
      if (piece.kind === "text") {
        write(node, piece.runs);
        // The sign stands where the author changes, on one line with the first word.
        const changes = piece.author && piece.author !== before;
        const sign = changes ? cast.of(piece.author).sign.replace(" ", "\u00a0") : "";
        if (node.dataset.sign !== sign) node.dataset.sign = sign;
        before = piece.author;
      }
      if (node === cursor) cursor = cursor.nextSibling;
      else this.element.insertBefore(node, cursor);
    }
    while (cursor) {
      const next = cursor.nextSibling;
      cursor.remove();
      cursor = next;
    }
    this.#nodes = kept;
  }
}

function style(author, cast) {
  return author ? `by author-${cast.of(author).style}` : "by";
}

function make(piece, cast) {
  if (piece.kind === "withdrawn") return withdrawn(piece, cast);
  return el("span", { class: style(piece.author, cast) });
}

/** Shows runs in the element of their piece, changing only what changed. */
function write(element, runs) {
  runs.forEach(({ origin, text }, at) => {
    const node = element.children[at] ?? element.appendChild(el("span"));
    const mark = markOf(origin);
    if (node.className !== mark) node.className = mark;
    setText(node, text);
  });
  while (element.children.length > runs.length) element.lastChild.remove();
}

/** A button that folds and unfolds the withdrawn text; it folds by itself unless somebody chose otherwise. */
function withdrawn({ parts, reason, by }, cast) {
  const text = parts.map((part) => part.text).join("");
  const struck = el("del", {}, ...parts.map((part) => el("span", { class: style(part.author, cast) }, part.text)));
  const whose = by ? ` by ${cast.of(by).name}` : "";
  const button = el(
    "button",
    { type: "button", class: "fold", "aria-expanded": "true", title: reason || null },
    `${count(words(text), "word")}${whose} withdrawn`,
  );
  const unfold = (open) => {
    button.setAttribute("aria-expanded", String(open));
    struck.hidden = !open;
  };
  const timer = setTimeout(() => unfold(false), FOLD_MS);
  button.addEventListener("click", () => {
    clearTimeout(timer);
    unfold(struck.hidden);
  });
  return el("span", { class: "withdrawn" }, button, struck);
}
