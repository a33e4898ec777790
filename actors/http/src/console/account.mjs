// The account of an answer: when which rung worked, what was decided, who wrote what at which cost.

import { el } from "./dom.mjs";
import { bytes, count, duration, probability } from "./format.mjs";
import { picture } from "./picture.mjs";

/** Kinds of decisions, and of other steps, in words. */
const KINDS = {
  route: "Route",
  stay: "Stay",
  escalate: "Escalate",
  friend_call: "Call",
  friend_return: "Hand back",
  draft_off: "Drafts off",
  retract: "Withdraw",
  validate: "Validate",
  validated: "Validate",
  refuse: "Refuse",
};

/** A table may be long: so many rows of spans are shown. */
const MOST_SPANS = 200;
const EXCERPT = 60;

/** `{finished, happened, layout, cast}`: the end event, decisions in order, a `Timeline.layout`, and the authors. */
export function account({ finished, happened, layout, cast }) {
  const { ledger } = finished;
  return el(
    "details",
    { class: "account" },
    el("summary", {}, headline(ledger, happened)),
    el("h5", {}, "Timeline"),
    picture(layout, cast, "Timeline of the request"),
    el(
      "p",
      { class: "hint" },
      "Bars: when text arrived here. Times and tokens: the node's ledger. Numbers: the decisions below.",
    ),
    happened.length > 0 && el("h5", {}, "Decisions"),
    happened.length > 0 && el("ol", { class: "decisions" }, ...happened.map((one) => decision(one, cast))),
    shares(ledger),
    el("h5", {}, "Cost"),
    costs(ledger.rungs, cast),
    el("h5", {}, "Who wrote what"),
    spans(finished, cast),
    el("p", { class: "hint" }, `${finished.policy} · ${finished.numerics}`),
  );
}

function headline({ forced, drafted, accepted }, happened) {
  const parts = ["How it came about"];
  if (happened.length > 0) parts.push(count(happened.length, "step"));
  if (forced > 0) parts.push(`${forced} forced`);
  if (drafted > 0) parts.push(`${accepted} of ${drafted} drafts accepted`);
  return parts.join(" · ");
}

function decision({ kind, from, to, reason, confidence, threshold }, cast) {
  const models = [from, to].filter(Boolean).map((model) => cast.of(model).name);
  // Many reasons have the figure in them.
  const judged = typeof confidence === "number" && !reason?.includes(probability(confidence));
  const limit = typeof threshold === "number" ? ` against ${probability(threshold)}` : "";
  return el(
    "li",
    {},
    el("strong", {}, KINDS[kind] ?? kind),
    ` ${models.join(" → ")}`,
    reason && el("span", { class: "reason" }, reason),
    judged && el("span", { class: "reason" }, `confidence ${probability(confidence)}${limit}`),
  );
}

/** Forced runs and drafts, each as a share with words. */
function shares({ rungs, forced, drafted, accepted }) {
  // The ledger counts forced tokens of all that was written, what was thrown away included.
  const written = rungs.reduce((sum, rung) => sum + rung.tokens_kept + rung.tokens_wasted, 0);
  const rows = [];
  if (forced > 0) rows.push(share("Forced by the constraint", forced, written, "tokens written"));
  if (drafted > 0) rows.push(share("Drafts accepted", accepted, drafted, "tokens drafted"));
  return rows.length > 0 ? el("div", { class: "shares" }, ...rows) : null;
}

function share(name, part, whole, of) {
  const most = Math.max(whole, part, 1);
  return el(
    "label",
    { class: "share" },
    el("span", {}, name),
    el("meter", { min: 0, max: most, value: part }),
    el("span", { class: "number" }, `${part} of ${whole} ${of}`),
  );
}

function table(caption, heads, rows) {
  return el(
    "div",
    { class: "table", role: "region", "aria-label": caption, tabindex: "0" },
    el(
      "table",
      {},
      el("caption", { class: "sr-only" }, caption),
      el("thead", {}, el("tr", {}, ...heads.map(([head, kind]) => el("th", { scope: "col", class: kind }, head)))),
      el("tbody", {}, ...rows),
    ),
  );
}

function sign(model, cast) {
  if (!model) return el("th", { scope: "row" }, "unknown");
  const { sign: short, name, style } = cast.of(model);
  return el(
    "th",
    { scope: "row" },
    el("span", { class: `chip author-${style}` }, el("span", { class: "sign" }, short), " ", el("span", { class: "name" }, name)),
  );
}

function number(text) {
  return el("td", { class: "number" }, text);
}

function costs(rungs, cast) {
  const heads = [
    ["Model", ""],
    ["Time", "number"],
    ["Kept", "number"],
    ["Wasted", "number"],
    ["Passes", "number"],
    ["Read", "number"],
  ];
  const rows = rungs.map((rung) =>
    el(
      "tr",
      {},
      sign(rung.model, cast),
      number(duration(rung.ms)),
      number(String(rung.tokens_kept)),
      number(String(rung.tokens_wasted)),
      number(String(rung.forward_passes)),
      number(bytes(rung.bytes_read)),
    ),
  );
  return table("Cost of each model: time, tokens kept and wasted, passes, bytes read", heads, rows);
}

function spans({ text, ledger }, cast) {
  const encoded = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  const heads = [
    ["Author", ""],
    ["Text", ""],
    ["Tokens", "number"],
    ["Why", ""],
  ];
  const rows = ledger.spans.slice(0, MOST_SPANS).map((span) => {
    const whole = decoder.decode(encoded.subarray(span.start, span.end)).trim();
    const excerpt = whole.length > EXCERPT ? `${whole.slice(0, EXCERPT)}…` : whole;
    return el(
      "tr",
      {},
      sign(span.author, cast),
      el("td", { class: "excerpt" }, excerpt),
      number(String(span.tokens)),
      el("td", {}, span.why),
    );
  });
  const more = ledger.spans.length - MOST_SPANS;
  if (more > 0) rows.push(el("tr", {}, el("td", { colspan: 4 }, `and ${count(more, "span")} more`)));
  return table("Spans of the answer with their authors", heads, rows);
}
