// What an answer cost in bytes read, against what the last rung alone would have read. Where it wrote the whole answer
// without drafts, that is what it read. Else it is an estimate: one pass over its weights for the prompt and one for each
// token that was not forced, since forced runs share a pass; without keys and values.

/**
 * `{read, alone, last}` in bytes, and the last rung's name; null where nothing is known of the last rung.
 * `sizes` maps models to the bytes of their files.
 */
export function againstLast(ledger, ladder, completionTokens, sizes) {
  const last = ladder.at(-1);
  if (last === undefined || ladder.length < 2) return null;
  const rung = ledger.rungs.find((one) => one.model === last);
  const measured = rung?.forward_passes > 0 ? rung.bytes_read / rung.forward_passes : 0;
  const perPass = sizes.get(last) || measured;
  if (!perPass) return null;
  const read = ledger.rungs.reduce((sum, one) => sum + one.bytes_read, 0);
  if (ledger.drafted === 0 && rung?.tokens_kept === completionTokens) return { read, alone: rung.bytes_read, last };
  const passes = 1 + Math.max(completionTokens - ledger.forced, 1);
  return { read, alone: perPass * passes, last };
}

/** `62 % saved`, `8 % more`, `nothing saved`: `read` against `alone`. */
export function compared(read, alone) {
  const less = Math.round((1 - read / alone) * 100);
  if (less === 0) return "nothing saved";
  return less > 0 ? `${less} % saved` : `${-less} % more`;
}
