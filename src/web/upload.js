/** One transcription request: a file goes up, events come down. XMLHttpRequest, as fetch does not tell how much is sent. */

import { completeEvents, parsed } from "./event_stream.js";

/**
 * @typedef {object} Outcome How a request ended.
 * @property {"done" | "refused" | "broken" | "lost"} kind Whether the text is complete, the service refused, it stopped
 *   amid the text, or the connection was lost.
 * @property {number} [status] HTTP status of a refusal.
 * @property {object} [body] The body of a refusal, or the last event of a stream: OpenAI's `{error: {message, code}}`.
 * @property {number | null} [retryAfter_s] When to try again, where the service says so.
 */

/**
 * Sends a file.
 *
 * @param {object} request
 * @param {File} request.file
 * @param {string} request.address
 * @param {string} request.key An API key, or "".
 * @param {[string, string][]} request.fields Fields of the form besides the file.
 * @param {(sent: number) => void} request.onSent Called with the share of the file that has been sent, 1 at last.
 * @param {(events: object[]) => void} request.onEvents Called with the events that came together.
 * @param {(outcome: Outcome) => void} request.onEnd Called once, unless the request is cancelled before.
 * @returns {() => void} Cancels the request; then nothing more is called.
 */
export function upload({ file, address, key, fields, onSent, onEvents, onEnd }) {
  const request = new XMLHttpRequest();
  const answer = new Answer(onEvents);
  const end = (outcome) => {
    request.onprogress = request.onload = request.onerror = request.upload.onprogress = null;
    onEnd(outcome);
  };
  request.open("POST", address);
  if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
  request.upload.onprogress = ({ loaded, total }) => onSent(total ? loaded / total : 1);
  request.upload.onload = () => onSent(1);
  request.onprogress = () => request.status === 200 && answer.read(request.responseText);
  request.onerror = () => end({ kind: "lost" });
  request.onload = () => end(request.status === 200 ? answer.outcome(request.responseText) : refusal(request));
  request.send(form(file, fields));
  return () => {
    request.onprogress = request.onload = request.onerror = null;
    request.upload.onprogress = request.upload.onload = null;
    request.abort();
  };
}

function form(file, fields) {
  const body = new FormData();
  for (const [name, value] of fields) body.append(name, value);
  body.append("file", file, file.name);
  return body;
}

/** @returns {Outcome} */
function refusal(request) {
  const retryAfter_s = Number.parseInt(request.getResponseHeader("Retry-After"), 10);
  const known = Number.isNaN(retryAfter_s) ? null : retryAfter_s;
  return { kind: "refused", status: request.status, body: parsed(request.responseText), retryAfter_s: known };
}

/** The streamed answer: passes its events on, and knows how it ended. */
export class Answer {
  #next = 0;
  #last = null;
  #onEvents;

  constructor(onEvents) {
    this.#onEvents = onEvents;
  }

  /** Takes all of the text that has come so far. */
  read(text) {
    const { events, next } = completeEvents(text, this.#next);
    this.#next = next;
    if (!events.length) return;
    this.#last = events.at(-1);
    this.#onEvents(events);
  }

  /**
   * Takes the whole text and returns how the answer ended.
   *
   * @returns {Outcome}
   */
  outcome(text) {
    this.read(text);
    if (this.#last?.type === "transcript.text.done") return { kind: "done" };
    if (this.#last?.type === "error") return { kind: "broken", body: this.#last };
    return { kind: "lost" };
  }
}
