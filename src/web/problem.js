/** What can go wrong, in plain words, each with what to do about it. */

/**
 * @typedef {object} Problem
 * @property {string} kind
 * @property {string} sentence - what is wrong
 * @property {string} remedy - what to do
 * @property {number|null} retryS - seconds after which another try makes sense; null: not by itself
 */

const WORDS = {
  "no-microphone": [
    "This device has no microphone.",
    "Connect one or switch it on, then start again. Sound of a tab or of this computer needs none.",
  ],
  denied: [
    "The browser may not use the microphone.",
    "Allow it for this page, with the icon beside the address or in the browser’s settings, then start again.",
  ],
  "denied-by-system": [
    "This device’s system does not let the browser use the microphone.",
    "Allow it in the system’s privacy settings, then start again.",
  ],
  insecure: [
    "Browsers give the microphone to no page that comes over plain http from another computer.",
    "Open this page by https; the README says how, in three lines. On the server itself http://localhost works too.",
  ],
  busy: ["The microphone does not start.", "Another program may be using it. Close that, or choose another microphone."],
  unplugged: ["The sound has stopped: the microphone or the shared tab is gone.", "Connect or choose it again, then start again."],
  "no-screen-sound": [
    "What you chose to share has no sound.",
    "Start again, choose a tab or the whole screen, and tick the box that shares its sound too.",
  ],
  "no-sharing": [
    "This browser cannot share the sound of a tab or of the computer.",
    "Use Chrome or Edge on a computer, or choose the microphone.",
  ],
  "not-shared": ["Nothing was shared.", "Start again and choose a tab or a screen, or choose the microphone."],
  "no-gesture": ["The browser starts no sound by itself.", "Press “Start captions”."],
  "no-worklet": ["This browser cannot record sound.", "Use a current version of Firefox, Chrome, Edge or Safari."],
  "no-key": ["This server wants an API key.", "Enter yours in the field “API key”, then start again."],
  "wrong-key": ["The server does not know this API key.", "Check the field “API key”, then start again."],
  full: ["The server is full: all places for live captions are taken.", ""],
  "too-much": ["You have as much open on this server as it allows.", "Stop captions or files elsewhere."],
  loading: ["The server is still loading its model.", ""],
  stopping: ["The server is stopping or starting anew.", ""],
  "busy-server": ["The server has too much to do.", ""],
  "foreign-page": [
    "The server takes no sound from pages of this address.",
    "Open the page by the server’s own address, or have the operator add this one to PARAKEET_CORS_ORIGINS.",
  ],
  "no-route": ["There is no captions service at this address.", "If a proxy is in between, it must pass on v1/realtime."],
  "no-websocket": [
    "The server is there, but the connection for captions is cut on the way.",
    "A proxy, a filter or a company’s network in between must let WebSockets through.",
  ],
  unreachable: ["The server cannot be reached.", "Check that it runs and that this device is online."],
  lost: ["The connection is lost.", "Go on speaking: up to a minute is kept and sent once it is back."],
  setting: ["The server does not accept a setting.", "Change it; captions go on as before."],
};

const RETRY_S = { lost: 1, unreachable: 3, full: 10, "too-much": 10, loading: 3, stopping: 3, "busy-server": 3, "no-websocket": 5 };
/** Seconds until another try where the server names none. */

/**
 * Return a problem by its kind.
 * @param {string} kind
 * @param {{retryS?: number|null, remedy?: string}} [more] - what the server said
 * @returns {Problem}
 */
export function problem(kind, { retryS = null, remedy } = {}) {
  const [sentence, usual] = WORDS[kind];
  return { kind, sentence, remedy: remedy ?? usual, retryS: kind in RETRY_S ? (retryS ?? RETRY_S[kind]) : null };
}

const BY_CODE = {
  too_many_sessions: "full",
  rate_limit_exceeded: "too-much",
  model_not_ready: "loading",
  model_failed: "stopping",
  shutting_down: "stopping",
  origin_not_allowed: "foreign-page",
  invalid_api_key: "wrong-key",
};
const BY_STATUS = { 401: "wrong-key", 403: "wrong-key", 404: "no-route", 405: "no-route", 426: "no-websocket", 429: "busy-server" };

/**
 * Return the problem in a server's answer.
 * @param {number} status
 * @param {any} body - OpenAI's error body as parsed from JSON; null if there is none
 * @param {number|null} retryAfterS - the header `Retry-After`
 * @returns {Problem}
 */
export function problemOf(status, body, retryAfterS) {
  const other = status >= 500 ? "busy-server" : status >= 400 ? "setting" : "no-websocket";
  const kind = BY_CODE[body?.error?.code] ?? BY_STATUS[status] ?? other;
  const said = kind === "setting" || kind === "busy-server" ? body?.error?.message : undefined;
  return problem(kind, { retryS: retryAfterS, remedy: said });
}

/**
 * Return why there is no sound.
 * @param {{name?: string, message?: string}} error - what getUserMedia or getDisplayMedia threw
 * @param {"microphone"|"screen"} source
 * @returns {Problem}
 */
export function problemOfCapture(error, source) {
  if (source === "screen") return problem(error.name === "NotAllowedError" ? "not-shared" : "no-sharing");
  switch (error.name) {
    case "NotAllowedError":
      return problem(/system/i.test(error.message ?? "") ? "denied-by-system" : "denied");
    case "SecurityError":
      return problem("denied");
    case "NotFoundError":
      return problem("no-microphone");
    default:
      return problem("busy");
  }
}

/** Say when the page tries again, as text after the remedy; empty if it does not. */
export function retryWords({ retryS }) {
  if (retryS === null) return "";
  return retryS <= 1 ? "Trying again." : `Trying again in ${Math.ceil(retryS)} s.`;
}

/** A problem that was thrown. */
export class Refusal extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.sentence);
    this.problem = problem;
  }
}
