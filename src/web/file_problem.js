/** What to say when a file could not be transcribed, and whether it is sent again by itself. */

/** Seconds after which a full service is asked again where it does not say when. */
const RETRY_S = 5;

/**
 * Return what became of a request in words.
 *
 * @param {import("./upload.js").Outcome} outcome Any but "done".
 * @returns {{sentence: string, remedy: string, retry_s: number | null, wantsKey: boolean}} What happened, what to do,
 *   after how many seconds the file is sent again (null: not by itself), and whether a key is missing or wrong.
 */
export function fileProblem({ kind, status, body, retryAfter_s }) {
  const message = body?.error?.message;
  if (kind === "lost") return problem("The connection was lost.", "Check that the service can be reached, then try again.");
  if (kind === "broken") return problem(message ?? "The service stopped amid the text.", "Try again.");
  if (status === 401 || status === 403) {
    const remedy = "Enter the right one in the field \u201cAPI key\u201d at the top, then try again.";
    return { ...problem("The service does not accept this API key.", remedy), wantsKey: true };
  }
  if (status === 429 || status === 503) return { ...full(status, body), retry_s: retryAfter_s ?? RETRY_S };
  return problem(message ?? `The service answered with the status ${status}.`, remedyOf(status, body?.error?.code));
}

function problem(sentence, remedy) {
  return { sentence, remedy, retry_s: null, wantsKey: false };
}

const FULL = {
  model_not_ready: "The service is still loading its model.",
  model_failed: "The service is starting again.",
  shutting_down: "The service is stopping.",
  rate_limit_exceeded: "You have as many requests in progress as the service allows.",
};

function full(status, body) {
  return problem(FULL[body?.error?.code] ?? "The service is full.", "");
}

function remedyOf(status, code) {
  if (status === 413) return "Choose a shorter or smaller file, or ask whoever runs the service.";
  if (code === "invalid_audio" || code === "empty_audio") return "Choose another file.";
  return "Try again.";
}
