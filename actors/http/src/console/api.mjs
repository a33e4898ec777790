// The node's public HTTP API, as the console uses it. Nothing else of the page speaks to the network.

import { events } from "./sse.mjs";

/** For calls that answer at once. */
const SOON_MS = 5_000;
/** For an answer: the longest deadline that a node grants by default, and a little. */
const ANSWER_MS = 610_000;

/** What the API refused, in its own words. */
export class ApiError extends Error {
  /** `code` and `help` are empty where the API gave none; `retryAfter` is in seconds, or null. */
  constructor({ status = 0, code = "", message, help = "", retryAfter = null }) {
    super(message);
    Object.assign(this, { status, code, help, retryAfter });
  }
}

/** Where the page of an error code is; only for codes of our form. */
export function pageOf(code) {
  return /^[A-Z][A-Z0-9_]{2,40}$/.test(code)
    ? `https://github.com/understudy-ai/understudy/blob/main/docs/errors/${code}.md`
    : null;
}

/** An error of an answer's body or stream. */
function fromBody(body, status, retryAfter) {
  const error = body?.error ?? {};
  const own = error.understudy ?? {};
  return new ApiError({
    status,
    code: String(own.code ?? error.code ?? error.type ?? ""),
    message: String(error.message ?? `The node answered ${status}.`),
    help: String(own.help ?? ""),
    retryAfter,
  });
}

async function call(path, init, key) {
  const headers = { accept: "application/json", ...init.headers };
  if (key) headers.authorization = `Bearer ${key}`;
  let response;
  try {
    response = await fetch(path, { ...init, headers, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.name === "TimeoutError") throw new ApiError({ message: "The node did not answer in time." });
    throw new ApiError({ message: "The node cannot be reached.", help: "See that `understudy serve` still runs." });
  }
  if (response.ok) return response;
  const seconds = Number.parseFloat(response.headers.get("retry-after"));
  const body = await response.json().catch(() => null);
  throw fromBody(body, response.status, Number.isFinite(seconds) ? seconds : null);
}

async function getJson(path, key) {
  const response = await call(path, { signal: AbortSignal.timeout(SOON_MS) }, key);
  return response.json();
}

/** Names that a request may ask for: `{name, here}`; a model that is not here would be fetched first. */
export async function models(key) {
  const { data } = await getJson("/v1/models", key);
  return data.map(({ id, understudy }) => ({ name: String(id), here: understudy?.state !== "absent" }));
}

/** The node as it is now. */
export function status(key) {
  return getJson("/understudy/status", key);
}

async function* bytes(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The chunks of an answer. Ends with `ApiError` where the node refuses, before or within the stream. */
export async function* chat(request, key, signal) {
  const response = await call(
    "/v1/chat/completions",
    {
      method: "POST",
      headers: { accept: "text/event-stream", "content-type": "application/json" },
      body: JSON.stringify(request),
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    },
    key,
  );
  try {
    for await (const data of events(bytes(response.body))) {
      const chunk = JSON.parse(data);
      if (chunk.error) throw fromBody(chunk, response.status, null);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof ApiError || error.name === "AbortError") throw error;
    throw new ApiError({ message: "The connection to the node was lost within the answer." });
  }
}
