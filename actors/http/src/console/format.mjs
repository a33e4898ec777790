// Numbers for people, in base units with their names.

/** `1.2 GB`; powers of ten. */
export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (n >= 999.5 && at < units.length - 1) {
    n /= 1000;
    at += 1;
  }
  return `${at === 0 || n >= 99.5 ? Math.round(n) : n.toPrecision(2)} ${units[at]}`;
}

/** `320 ms`, `1.4 s`, `12 min`. */
export function duration(ms) {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${Number((ms / 1000).toFixed(1))} s`;
  if (ms < 5_400_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

/** `12` or `1.4`: as much as can be read at a glance. */
export function rate(n) {
  return n >= 10 || n === 0 ? String(Math.round(n)) : n.toFixed(1);
}

/** `1 token`, `2 tokens`. */
export function count(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

/** `0.62`, or empty where there is none. */
export function probability(p) {
  return typeof p === "number" ? p.toFixed(2) : "";
}
