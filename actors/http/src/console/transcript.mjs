// An answer while it is written: who wrote which text, and what was withdrawn. Offsets are UTF-8 bytes, as the API counts.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Length in UTF-8 bytes. */
export function byteLength(text) {
  return encoder.encode(text).length;
}

/** `text` cut before its last `bytes` bytes: `[kept, cut]`. */
function cutEnd(text, bytes) {
  const all = encoder.encode(text);
  const at = Math.max(0, all.length - bytes);
  return [decoder.decode(all.subarray(0, at)), decoder.decode(all.subarray(at))];
}

/** Of `runs`, what lies from `from` to `to` in their text, counted as strings are. */
function within(runs, from, to) {
  const found = [];
  let at = 0;
  for (const { origin, text } of runs) {
    const part = text.slice(Math.max(0, from - at), Math.max(0, to - at));
    if (part) found.push({ origin, text: part });
    at += text.length;
  }
  return found;
}

/**
 * Pieces in the order of reading: `{kind: "text", author, text, runs}`, after `settle` also with `tokens` and `why`; and
 * `{kind: "withdrawn", parts: [{author, text}], reason, by}`. The runs `{origin, text}` of a piece are its text by where
 * it comes from: `written`, `forced`, `accepted`. A piece stays the same object while it grows.
 */
export class Transcript {
  pieces = [];

  /** More text. */
  add(author, text, origin = "written") {
    let piece = this.pieces.at(-1);
    if (piece?.kind !== "text" || piece.author !== author) {
      piece = { kind: "text", author, text: "", runs: [] };
      this.pieces.push(piece);
    }
    piece.text += text;
    const run = piece.runs.at(-1);
    if (run?.origin === origin) run.text += text;
    else piece.runs.push({ origin, text });
  }

  /** The last `bytes` bytes of the text are withdrawn. Earlier withdrawals among them stay before this one. */
  retract(bytes, reason = "", by = "") {
    const parts = [];
    const passed = [];
    while (bytes > 0 && this.pieces.length > 0) {
      const piece = this.pieces.pop();
      if (piece.kind === "withdrawn") {
        passed.unshift(piece);
        continue;
      }
      const [kept, cut] = cutEnd(piece.text, bytes);
      bytes -= byteLength(cut);
      parts.unshift({ author: piece.author, text: cut });
      if (kept) {
        piece.text = kept;
        piece.runs = within(piece.runs, 0, kept.length);
        this.pieces.push(piece);
      }
    }
    this.pieces.push(...passed);
    if (parts.length > 0) this.pieces.push({ kind: "withdrawn", parts, reason, by });
  }

  /** The text so far. */
  text() {
    return this.pieces.map((piece) => (piece.kind === "text" ? piece.text : "")).join("");
  }

  /** The end: the ledger's spans say who wrote what; origins are as they were told, withdrawals where they happened. */
  settle(text, spans) {
    const bytes = encoder.encode(text);
    // A text of which something was missed has no origins that could be trusted.
    const runs = this.text() === text ? this.pieces.flatMap((piece) => piece.runs ?? []) : [{ origin: "written", text }];
    let shown = 0;
    const withdrawn = this.#withdrawnAt(bytes.length);
    const pieces = [];
    const upTo = (end) => {
      while (withdrawn.length > 0 && withdrawn[0].at <= end) pieces.push(withdrawn.shift().piece);
    };
    for (const span of whole(spans, bytes.length)) {
      upTo(span.start);
      let from = span.start;
      let tokens = span.tokens;
      while (from < span.end) {
        const next = withdrawn[0];
        const to = next && next.at < span.end ? next.at : span.end;
        const part = decoder.decode(bytes.subarray(from, to));
        pieces.push({
          kind: "text",
          author: span.author,
          text: part,
          runs: within(runs, shown, (shown += part.length)),
          tokens,
          why: span.why ?? "",
        });
        // Of a span that a withdrawal parts, the first piece has the tokens: sums stay true.
        tokens = 0;
        from = to;
        if (from < span.end) upTo(from);
      }
    }
    upTo(Infinity);
    this.pieces = pieces;
  }

  /** Withdrawals with the byte of the surviving text before which they stand. */
  #withdrawnAt(limit) {
    const found = [];
    let at = 0;
    for (const piece of this.pieces) {
      if (piece.kind === "text") at += byteLength(piece.text);
      else found.push({ at: Math.min(at, limit), piece });
    }
    return found;
  }
}

/** Spans that cover `length` bytes; what the ledger leaves out has no author. */
function whole(spans, length) {
  const covered = [];
  let at = 0;
  for (const span of spans) {
    const start = Math.max(at, Math.min(span.start, length));
    const end = Math.min(span.end, length);
    if (start > at) covered.push({ author: "", start: at, end: start, tokens: 0 });
    if (end > start) covered.push({ ...span, start, end });
    at = Math.max(at, end);
  }
  if (at < length) covered.push({ author: "", start: at, end: length, tokens: 0 });
  return covered;
}

/** Words in a text, for people. */
export function words(text) {
  return text.split(/\s+/u).filter(Boolean).length;
}
