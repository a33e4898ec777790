// The timeline as SVG: a lane for each rung, a numbered mark for each decision. Positions are shares of the width, so the
// picture follows the page without being drawn anew.

import { svg } from "./dom.mjs";
import { count, duration } from "./format.mjs";

const LANE = 40;
const BAR = 12;
const HEAD = 22;

const share = (part, whole) => `${((part / whole) * 100).toFixed(2)}%`;

function laneLabel(author, cost) {
  if (!cost) return author.sign;
  const parts = [author.sign, duration(cost.ms), `${count(cost.tokens_kept, "token")} kept`];
  if (cost.tokens_wasted > 0) parts.push(`${cost.tokens_wasted} wasted`);
  return parts.join(" · ");
}

function lane({ model, stretches, cost }, at, end, cast) {
  const author = cast.of(model);
  const top = HEAD + at * LANE;
  const bars = stretches.map(({ from, to, kind }) =>
    svg("rect", {
      class: `bar ${kind} author-${author.style}`,
      x: share(from, end),
      y: top + 20,
      // A stretch of one arrival is still seen.
      width: share(Math.max(to - from, end * 0.006), end),
      height: BAR,
      rx: 3,
    }),
  );
  return svg(
    "g",
    {},
    svg("text", { class: "lane-label", x: 0, y: top + 13 }, laneLabel(author, cost)),
    svg("rect", { class: "track", x: 0, y: top + 20, width: "100%", height: BAR, rx: 3 }),
    ...bars,
  );
}

/** Marks that would lie over one another share a place: `[{at, label}]`. */
function grouped(marks, end) {
  const groups = [];
  marks.forEach(({ at }, index) => {
    const last = groups.at(-1);
    if (last && (at - last.at) / end < 0.05) last.to = index + 1;
    else groups.push({ at, from: index + 1, to: index + 1 });
  });
  return groups.map(({ at, from, to }) => ({ at, label: from === to ? String(from) : `${from}–${to}` }));
}

function mark({ at, label }, end, height) {
  // Near the right edge the number stands left of its line.
  const late = at / end > 0.92;
  return svg(
    "g",
    { class: "mark" },
    svg("line", { x1: share(at, end), x2: share(at, end), y1: 16, y2: height }),
    svg("text", { x: share(at, end), y: 12, "text-anchor": late ? "end" : at / end < 0.05 ? "start" : "middle" }, label),
  );
}

/** The picture of a `Timeline.layout`. */
export function picture({ end, lanes, marks }, cast, title) {
  const height = HEAD + lanes.length * LANE;
  const words = lanes.map(({ model, cost }) => {
    const author = cast.of(model);
    return cost ? `${author.name}: ${duration(cost.ms)}, ${count(cost.tokens_kept, "token")} kept.` : `${author.name}.`;
  });
  return svg(
    "svg",
    { class: "timeline", width: "100%", height: height + 18, role: "img", "aria-label": `${title}. ${words.join(" ")}` },
    ...grouped(marks, end).map((one) => mark(one, end, height)),
    ...lanes.map((one, at) => lane(one, at, end, cast)),
    svg("text", { class: "axis", x: 0, y: height + 13 }, "0"),
    svg("text", { class: "axis", x: "100%", y: height + 13, "text-anchor": "end" }, duration(end)),
  );
}
