/** The user's API key: kept for this tab's session only, sent in headers only. */

import { Refusal, problem, problemOf } from "./problem.js";

const NAME = "parakeet.key";
const TIMEOUT_MS = 15_000;

export class ApiKey {
  #storage;
  #value = "";

  /** @param {Storage|null} storage - sessionStorage, or null where the browser forbids it */
  constructor(storage) {
    this.#storage = storage;
    try {
      this.#value = storage.getItem(NAME) ?? "";
    } catch {
      // the browser keeps nothing
    }
  }

  get value() {
    return this.#value;
  }

  set value(key) {
    this.#value = key.trim();
    try {
      this.#storage.setItem(NAME, this.#value);
    } catch {
      // kept until the page is left
    }
  }

  /** The headers of a request with this key. */
  get headers() {
    return this.#value ? { Authorization: `Bearer ${this.#value}` } : {};
  }

  /** Whether it can be in a header at all: printable ASCII without spaces. */
  get isPossible() {
    return /^[!-~]*$/.test(this.#value);
  }
}

/**
 * Get a temporary key for the WebSocket, which cannot carry headers. Throw a `Refusal` if the server gives none.
 * @param {typeof fetch} fetch
 * @param {string} address - of `v1/realtime/client_secrets`
 * @param {ApiKey} key
 */
export async function temporaryKey(fetch, address, key) {
  if (!key.value) throw new Refusal(problem("no-key"));
  if (!key.isPossible) throw new Refusal(problem("wrong-key"));
  const answer = await request(fetch, address, {
    method: "POST",
    headers: { ...key.headers, "Content-Type": "application/json" },
    body: JSON.stringify({ expires_after: { anchor: "created_at", seconds: 60 } }),
  });
  if (!answer.ok) throw new Refusal(await refusalOf(answer));
  return (await answer.json()).value;
}

/** Fetch with a time limit. Throw a `Refusal` if the server cannot be reached. */
export async function request(fetch, address, options = {}) {
  try {
    return await fetch(address, { cache: "no-store", ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Refusal(problem("unreachable"));
  }
}

/** Return the problem in an answer that is no success. */
export async function refusalOf(answer) {
  const body = await answer.json().catch(() => null);
  return problemOf(answer.status, body, Number(answer.headers.get("Retry-After")) || null);
}
