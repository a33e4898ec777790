// What screen readers hear of an answer: whole sentences of text that stays, a few at a time, and what happens.

/** Time between two announcements: a reader finishes one before the next. */
const PAUSE_MS = 1_500;
/** Lines kept in the page. */
const MOST_LINES = 50;

/** The last sentence end in `text`, as the index after it; 0 where there is none. */
export function sentenceEnd(text) {
  let end = 0;
  for (const match of text.matchAll(/[.!?:;](?=\s)|\n/gu)) end = match.index + match[0].length;
  return end;
}

export class Announcer {
  #waiting = [];
  #sentence = "";
  #timer = null;

  /** `region` is a live region. */
  constructor(region) {
    this.region = region;
  }

  /** A line, said as it is. */
  say(line) {
    this.#waiting.push(line);
    this.#soon();
  }

  /** Text that will not be withdrawn; said when a sentence is whole. */
  read(text) {
    this.#sentence += text;
    const end = sentenceEnd(this.#sentence);
    if (end === 0) return;
    this.say(this.#sentence.slice(0, end).trim());
    this.#sentence = this.#sentence.slice(end);
  }

  /** The answer ended: what is left of it is said. */
  flush() {
    const rest = this.#sentence.trim();
    this.#sentence = "";
    if (rest) this.say(rest);
  }

  /** A new conversation or answer: nothing of the last one is said any more. */
  clear() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#waiting = [];
    this.#sentence = "";
    this.region.replaceChildren();
  }

  #soon() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      const lines = this.#waiting.filter(Boolean).join(" ");
      this.#waiting = [];
      const paragraph = document.createElement("p");
      paragraph.textContent = lines;
      this.region.append(paragraph);
      while (this.region.children.length > MOST_LINES) this.region.firstChild.remove();
    }, PAUSE_MS);
  }
}
