// The parts of the console that need no browser.

import assert from "node:assert/strict";
import { test } from "node:test";

const console_ = new URL("../../actors/http/src/console/", import.meta.url);
const { Transcript } = await import(new URL("transcript.mjs", console_));
const { Cast } = await import(new URL("authors.mjs", console_));
const { events } = await import(new URL("sse.mjs", console_));
const { Timeline } = await import(new URL("timeline.mjs", console_));
const { againstLast, compared } = await import(new URL("cost.mjs", console_));
const { sentenceEnd } = await import(new URL("announcer.mjs", console_));
const { CONSTRAINTS } = await import(new URL("examples.mjs", console_));
const format = await import(new URL("format.mjs", console_));

/** Pieces in a line: `a:text`, `-a:text` for what was withdrawn. */
function line(transcript) {
  return transcript.pieces
    .map((piece) =>
      piece.kind === "text"
        ? `${piece.author}:${piece.text}`
        : piece.parts.map((part) => `-${part.author}:${part.text}`).join(","),
    )
    .join("|");
}

test("a transcript joins what one author writes and keeps what was withdrawn in its place", () => {
  const cases = [
    { steps: [["a", "one "], ["a", "two"]], line: "a:one two", text: "one two" },
    { steps: [["a", "one "], ["b", "two"]], line: "a:one |b:two", text: "one two" },
    { steps: [["a", "one two"], 3, ["b", "three"]], line: "a:one |-a:two|b:three", text: "one three" },
    { steps: [["a", "one "], ["b", "two"], 7, ["b", "x"]], line: "-a:one ,-b:two|b:x", text: "x" },
    // Bytes, not characters: é takes two, 𝄞 four.
    { steps: [["a", "café 𝄞"], 5], line: "a:café|-a: 𝄞", text: "café" },
    // A second withdrawal goes past the place of the first.
    { steps: [["a", "abcd"], 1, ["b", "x"], 2], line: "a:ab|-a:d|-a:c,-b:x", text: "ab" },
    // More than there is, and nothing.
    { steps: [["a", "ab"], 99], line: "-a:ab", text: "" },
    { steps: [["a", "ab"], 0], line: "a:ab", text: "ab" },
  ];
  for (const { steps, line: expected, text } of cases) {
    const transcript = new Transcript();
    for (const step of steps) {
      if (typeof step === "number") transcript.retract(step);
      else transcript.add(...step);
    }
    assert.equal(line(transcript), expected);
    assert.equal(transcript.text(), text);
  }
});

test("the ledger's spans colour the text, and withdrawals stay where they happened", () => {
  const cases = [
    { steps: [["a", "one two"]], text: "one two", spans: [["a", 0, 4], ["b", 4, 7]], line: "a:one |b:two" },
    { steps: [["a", "one two"], 3, ["b", "é!"]], text: "one é!", spans: [["a", 0, 4], ["b", 4, 7]], line: "a:one |-a:two|b:é!" },
    // A span is parted where something was withdrawn within it.
    { steps: [["a", "one two"], 3, ["a", "six"]], text: "one six", spans: [["a", 0, 7]], line: "a:one |-a:two|a:six" },
    { steps: [["a", "ab"], 2, ["b", "cd"]], text: "cd", spans: [["b", 0, 2]], line: "-a:ab|b:cd" },
    { steps: [["a", "ab"], 2], text: "", spans: [], line: "-a:ab" },
    // A ledger that leaves something out, or says too much, loses no text.
    { steps: [["a", "abcd"]], text: "abcd", spans: [["a", 1, 2], ["b", 1, 99]], line: ":a|a:b|b:cd" },
  ];
  for (const { steps, text, spans, line: expected } of cases) {
    const transcript = new Transcript();
    for (const step of steps) {
      if (typeof step === "number") transcript.retract(step);
      else transcript.add(...step);
    }
    transcript.settle(text, spans.map(([author, start, end]) => ({ author, start, end, tokens: 1, why: "" })));
    assert.equal(line(transcript), expected);
    assert.equal(transcript.text(), text);
  }
});

/** Runs of a transcript's text in a line: `w:text` for written, `f:` for forced, `a:` for accepted. */
function origins(transcript) {
  const runs = transcript.pieces.flatMap((piece) => piece.runs ?? []);
  return runs.map(({ origin, text }) => `${origin[0]}:${text}`).join("|");
}

test("origins stay with their text, whatever is withdrawn, and when the ledger parts it", () => {
  const [w, f, a] = ["written", "forced", "accepted"];
  const cases = [
    { steps: [["m", "yes", w], ["m", ", s", f], ["m", "ir", f]], spans: [["m", 0, 8]], live: "w:yes|f:, sir" },
    { steps: [["m", "one"], ["n", " two", a], ["m", " six", a]], spans: [["m", 0, 3], ["n", 3, 7], ["m", 7, 11]], live: "w:one|a: two|a: six" },
    // Within a run of several bytes for each letter.
    { steps: [["m", "é𝄞", w], ["m", "𝄞é", f], 2, ["n", "!", a]], spans: [["m", 0, 10], ["n", 10, 11]], live: "w:é𝄞|f:𝄞|a:!" },
    { steps: [["m", "ab", f], 2, ["n", "cd", a]], spans: [["n", 0, 2]], live: "a:cd" },
    // The ledger gives the last letter to another one.
    { steps: [["m", "ab", w], ["m", "cd", f]], spans: [["m", 0, 3], ["n", 3, 4]], live: "w:ab|f:cd", settled: "w:ab|f:c|f:d" },
    // Where some of the text was missed, nobody knows.
    { steps: [["m", "ab", f]], text: "abc", spans: [["m", 0, 3]], live: "f:ab", settled: "w:abc" },
  ];
  for (const { steps, text, spans, live, settled = live } of cases) {
    const transcript = new Transcript();
    for (const step of steps) {
      if (typeof step === "number") transcript.retract(step);
      else transcript.add(...step);
    }
    assert.equal(origins(transcript), live);
    transcript.settle(text ?? transcript.text(), spans.map(([author, start, end]) => ({ author, start, end, tokens: 1, why: "" })));
    assert.equal(origins(transcript), settled);
    for (const piece of transcript.pieces.filter((one) => one.kind === "text")) {
      assert.equal(piece.runs.map((run) => run.text).join(""), piece.text);
    }
  }
});

test("a parted span keeps its tokens once", () => {
  const transcript = new Transcript();
  transcript.add("a", "one two");
  transcript.retract(3);
  transcript.add("a", "six");
  transcript.settle("one six", [{ author: "a", start: 0, end: 7, tokens: 2, why: "w" }]);
  assert.equal(transcript.pieces.reduce((sum, piece) => sum + (piece.tokens ?? 0), 0), 2);
});

test("authors have signs that tell them apart, and a place in the ladder has one style", () => {
  const cases = [
    { ladder: ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"], signs: ["S 135m", "Q 0.5b", "Q 1.5b"] },
    { ladder: ["/models/tiny-qwen3.gguf", "/models/twin.gguf"], signs: ["T", "T #2"] },
    { ladder: ["123"], signs: ["M"] },
  ];
  for (const { ladder, signs } of cases) {
    const authors = new Cast(ladder).all();
    assert.deepEqual(authors.map((author) => author.sign), signs);
    assert.deepEqual(authors.map((author) => author.style), ladder.map((_, at) => at + 1));
  }
  const many = new Cast(["a", "b", "c", "d", "e", "f", "g"]);
  assert.equal(many.of("g").style, 5);
});

test("events are read however the bytes are cut", async () => {
  const stream = 'data: {"a":"é"}\r\n\r\n: comment\n\ndata: one\ndata: two\n\nevent: x\ndata:3\n\ndata: [DONE]\n\ndata: late\n\n';
  const bytes = new TextEncoder().encode(stream);
  for (const size of [1, 2, 3, 7, bytes.length]) {
    async function* cut() {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    }
    const seen = [];
    for await (const data of events(cut())) seen.push(data);
    assert.deepEqual(seen, ['{"a":"é"}', "one\ntwo", "3"]);
  }
});

test("the timeline has a lane for each rung, in ladder order, and a mark for each step", () => {
  const timeline = new Timeline();
  timeline.on({ type: "started", ladder: ["small", "big"] }, 5);
  timeline.on({ type: "delta", model: "small", text: "a" }, 100);
  timeline.on({ type: "delta", model: "small", text: "b" }, 200);
  timeline.on({ type: "validated", model: "small", name: "sql", verdict: "fail" }, 205);
  timeline.on({ type: "decided", kind: "escalate", from: "small", to: "big" }, 210);
  timeline.on({ type: "retracted", model: "small", bytes: 2 }, 211);
  timeline.on({ type: "delta", model: "big", text: "c" }, 400);
  const live = timeline.layout();
  assert.deepEqual(live.lanes.map((lane) => lane.model), ["small", "big"]);
  assert.deepEqual(live.lanes[0].stretches, [{ from: 0, to: 200, kind: "writing" }]);
  assert.deepEqual(live.lanes[1].stretches, [{ from: 210, to: 400, kind: "writing" }]);
  assert.deepEqual(live.marks.map((mark) => mark.kind), ["validated", "escalate", "retract"]);

  const rungs = [{ model: "small", ms: 190 }, { model: "big", ms: 170 }];
  assert.equal(timeline.layout({ rungs }, 500).end, 500);
});

test("a rung that only drafted is shown as working unseen", () => {
  const timeline = new Timeline();
  timeline.on({ type: "started", ladder: ["draft", "big"] }, 0);
  timeline.on({ type: "delta", model: "big", text: "c" }, 300);
  const { lanes } = timeline.layout({ rungs: [{ model: "draft", ms: 80 }, { model: "big", ms: 220 }] }, 300);
  assert.deepEqual(lanes[0].stretches, [{ from: 0, to: 80, kind: "unseen" }]);
});

test("what is saved is told against the last rung alone", () => {
  const ladder = ["small", "big"];
  const rung = (model, kept, passes, bytes) => ({ model, tokens_kept: kept, forward_passes: passes, bytes_read: bytes });
  const small = rung("small", 10, 11, 440);
  const cases = [
    // 10 tokens and the prompt: 11 passes of 100 bytes.
    { rungs: [small], sizes: [["big", 100]], read: 440, alone: 1100 },
    { rungs: [rung("small", 6, 7, 280), rung("big", 4, 5, 500)], sizes: [], read: 780, alone: 1100 },
    // Forced runs share a pass.
    { rungs: [small], sizes: [["big", 100]], forced: 4, read: 440, alone: 700 },
    { rungs: [small], sizes: [["big", 100]], forced: 14, read: 440, alone: 200 },
    // It wrote all of it, so alone it would have read just that; with drafts it would not.
    { rungs: [rung("small", 0, 5, 200), rung("big", 10, 8, 870)], sizes: [], read: 1070, alone: 870 },
    { rungs: [rung("small", 0, 5, 200), rung("big", 10, 4, 400)], drafted: 9, sizes: [], read: 600, alone: 1100 },
  ];
  for (const { rungs, sizes, forced = 0, drafted = 0, read, alone } of cases) {
    const found = againstLast({ rungs, forced, drafted }, ladder, 10, new Map(sizes));
    assert.deepEqual(found, { read, alone, last: "big" });
  }
  assert.equal(againstLast({ rungs: [small], forced: 0, drafted: 0 }, ladder, 10, new Map()), null);
  assert.equal(againstLast({ rungs: [] }, ["one"], 10, new Map([["one", 1]])), null);
  assert.deepEqual([compared(40, 100), compared(108, 100), compared(100, 100)], ["60 % saved", "8 % more", "nothing saved"]);
});

test("sentences end where a reader may pause", () => {
  const cases = [["One. Two", 4], ["3.14 is", 0], ["No end", 0], ["a\nb", 2], ["One. Two! Three", 9]];
  for (const [text, end] of cases) assert.equal(sentenceEnd(text), end, text);
});

test("each constraint's example is what the API takes", () => {
  for (const [kind, { read, example }] of Object.entries(CONSTRAINTS)) {
    assert.deepEqual(Object.keys(read(example)), [kind]);
  }
  assert.deepEqual(CONSTRAINTS.choice.read(" a \n\n b\n"), { choice: ["a", "b"] });
  assert.throws(() => CONSTRAINTS.json_schema.read("{"), SyntaxError);
});

test("numbers for people", () => {
  const cases = [
    [format.bytes(0), "0 B"],
    [format.bytes(999), "999 B"],
    [format.bytes(1234), "1.2 kB"],
    [format.bytes(400_000_000), "400 MB"],
    [format.bytes(31e12), "31 TB"],
    [format.duration(999.6), "1 s"],
    [format.duration(1_440), "1.4 s"],
    [format.duration(12), "12 ms"],
    [format.duration(7_260_000), "2 h"],
    [format.rate(48.2), "48"],
    [format.rate(0), "0"],
    [format.rate(1.44), "1.4"],
    [format.count(1, "token"), "1 token"],
    [format.count(1200, "token"), "1,200 tokens"],
  ];
  for (const [found, expected] of cases) assert.equal(found, expected);
});
