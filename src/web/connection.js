/**
 * The connection to `/v1/realtime` of one recording. It comes back by itself when it is lost, and then sends again what
 * has no final text yet.
 */

import { refusalOf, request, temporaryKey } from "./api_key.js";
import { base64Of } from "./base64.js";
import { Refusal, problem } from "./problem.js";

const KEY_PROTOCOL = "openai-insecure-api-key.";
const OPENING_MS = 15_000;
const QUIET_S = 10;
/** After so many seconds of audio without a message, the service is asked for one. */
const PATIENCE_S = 20;
/** A service that has not answered then is lost. */
const HURRIED_S = 3;
/** The same after the system has said that it is offline. */
const ENDING_MS = 20_000;
/** How long the last texts may take after the end. */

const STEADY_S = 5;
/** A connection that lasts this long counts as no failure. */
const AGAIN_S = 3;
/** Until another try after an answer that would end a recording which has not begun: a proxy may give it meanwhile. */
const FATAL = new Set(["no-key", "wrong-key", "foreign-page"]);
/** Refusals that end also a recording that has been open. */
const OPEN = 1;
/** `WebSocket.OPEN`. */

/**
 * @typedef {object} ConnectionState
 * @property {"connecting"|"listening"|"lost"|"closed"} name
 * @property {import("./problem.js").Problem|null} problem
 */

export class Connection {
  #server;
  #tape;
  #turns;
  #session;
  #report;
  #missed;
  #socket = null;
  #timer = null;
  #failures = 0;
  #hasBeenOpen = false;
  #isEnding = false;
  #isClosed = false;
  #isFlushed = false;
  #isSettingRefused = false;
  #sentTo = 0;
  #heardTo = 0;
  #heardAt = 0;
  #openedAt = 0;
  #askedAt = null;
  #patienceS = PATIENCE_S;
  #ended = Promise.withResolvers?.() ?? withResolvers();

  /**
   * @param {object} server
   * @param {string} server.base - the page's base address, with a slash at its end
   * @param {boolean} server.wantsKey
   * @param {import("./api_key.js").ApiKey} server.key
   * @param {typeof fetch} server.fetch
   * @param {typeof WebSocket} server.WebSocket
   * @param {import("./audio_tape.js").AudioTape} tape
   * @param {import("./turns.js").Turns} turns
   * @param {() => object} session - the present settings, see `sessionOf`
   * @param {(state: ConnectionState) => void} report
   * @param {(seconds: number) => void} missed - called when audio was lost in a long gap
   */
  constructor(server, tape, turns, session, report, missed) {
    this.#server = server;
    this.#tape = tape;
    this.#turns = turns;
    this.#session = session;
    this.#report = report;
    this.#missed = missed;
  }

  /** Open it. What is on the tape by then is sent first. */
  open() {
    this.#report({ name: "connecting", problem: null });
    this.#connect();
  }

  /** Send further audio, or keep it until it can be sent. @param {Int16Array} samples */
  append(samples) {
    this.#tape.append(samples);
    if (!this.#isListening) return;
    this.#send(samples);
    this.#checkLife();
  }

  /** Send the present settings. */
  update() {
    if (this.#isListening) this.#say({ type: "session.update", event_id: "settings", session: this.#session() });
  }

  /** End: have the last words transcribed, then close. Resolves when that is done, or cannot be. */
  end() {
    if (!this.#isEnding) {
      this.#isEnding = true;
      if (this.#isListening) this.#flush();
      else if (!this.#hasBeenOpen) this.#close(null);
      setTimeout(() => this.#close(null), ENDING_MS);
    }
    return this.#ended.promise;
  }

  /** Close without waiting for anything. */
  abandon() {
    this.#close(null);
  }

  /** The system is online again: try at once. */
  retryNow() {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#connect();
  }

  /** The system says that it is offline. That may not concern this connection, so ask. */
  doubt() {
    if (!this.#isListening) return;
    this.#ask();
    this.#patienceS = HURRIED_S;
  }

  get #isListening() {
    return this.#socket?.readyState === OPEN;
  }

  // -- opening -------------------------------------------------------------------------------------------------------

  async #connect() {
    try {
      const protocols = ["realtime"];
      if (this.#server.wantsKey) protocols.push(KEY_PROTOCOL + (await this.#temporaryKey()));
      if (this.#isClosed) return;
      const socket = await this.#opened(protocols);
      if (this.#isClosed) return socket.close();
      this.#begin(socket);
    } catch (error) {
      this.#refused(error instanceof Refusal ? error.problem : problem("unreachable"));
    }
  }

  #temporaryKey() {
    const { fetch, base, key } = this.#server;
    return temporaryKey(fetch, new URL("v1/realtime/client_secrets", base).href, key);
  }

  get #address() {
    const address = new URL("v1/realtime", this.#server.base);
    address.searchParams.set("intent", "transcription");
    address.searchParams.set("sample_rate", String(this.#tape.rate));
    return address;
  }

  async #opened(protocols) {
    const address = this.#address;
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new this.#server.WebSocket(address.href, protocols);
    const isOpen = await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), OPENING_MS);
      const settle = (value) => () => {
        clearTimeout(timer);
        resolve(value);
      };
      socket.addEventListener("open", settle(true));
      socket.addEventListener("close", settle(false));
    });
    if (isOpen) return socket;
    socket.close();
    throw new Refusal(await this.#whyRefused());
  }

  /** A browser does not say why a WebSocket was refused. The same address over HTTP does. */
  async #whyRefused() {
    const { fetch, key } = this.#server;
    return refusalOf(await request(fetch, this.#address.href, { headers: key.headers }));
  }

  #begin(socket) {
    this.#socket = socket;
    socket.addEventListener("message", (message) => this.#receive(socket, message.data));
    socket.addEventListener("close", () => this.#lost(socket, problem("lost")));
    const { from, missed } = this.#turns.resume(this.#tape.start, this.#heardTo);
    if (this.#hasBeenOpen && missed > this.#tape.rate / 2) this.#missed(missed / this.#tape.rate);
    this.#hasBeenOpen = true;
    this.#askedAt = null;
    this.#openedAt = this.#heardAt = this.#tape.end;
    this.update();
    this.#sentTo = from;
    for (const samples of this.#tape.from(from)) this.#send(samples);
    this.#report({ name: "listening", problem: null });
    if (this.#isEnding) this.#flush();
    if (socket.readyState !== OPEN) this.#lost(socket, problem("lost"));
  }

  #refused(reason) {
    if (this.#isClosed) return;
    if (this.#isFatal(reason)) return this.#close(reason);
    this.#failures += 1;
    const isLost = this.#hasBeenOpen && reason.kind === "unreachable";
    const seconds = Math.min(reason.retryS ?? AGAIN_S, isLost ? this.#failures : Infinity);
    const isSure = reason.kind !== "no-websocket" || this.#failures > 1; // the server may have been full just before
    const shown = isLost ? problem("lost", { retryS: seconds }) : { ...reason, retryS: seconds };
    this.#report({ name: this.#hasBeenOpen ? "lost" : "connecting", problem: isSure ? shown : null });
    this.#timer = setTimeout(() => this.retryNow(), seconds * 1000);
  }

  /** Whether another try makes no sense. What was open before is likely to come back, whatever a proxy says till then. */
  #isFatal({ kind, retryS }) {
    return this.#hasBeenOpen ? FATAL.has(kind) : retryS === null || this.#isEnding;
  }

  // -- open ----------------------------------------------------------------------------------------------------------

  #say(event) {
    this.#socket.send(JSON.stringify(event));
  }

  #send(samples) {
    this.#say({ type: "input_audio_buffer.append", audio: base64Of(samples) });
    this.#sentTo += samples.length;
  }

  #receive(socket, data) {
    if (socket !== this.#socket) return;
    this.#heardTo = this.#sentTo;
    this.#heardAt = this.#tape.end;
    this.#askedAt = null;
    this.#patienceS = PATIENCE_S;
    if (this.#tape.end - this.#openedAt > STEADY_S * this.#tape.rate) this.#failures = 0;
    const event = JSON.parse(data);
    if (event.type === "error") this.#receiveError(socket, event.error);
    if (event.type === "session.updated") this.#settingsTaken();
    this.#turns.receive(event, this.#sentTo);
    this.#tape.dropBefore(this.#turns.finishedTo);
    if (this.#turns.mustRepeat) return this.#lost(socket, problem("busy-server"));
    if (this.#isFlushed && this.#turns.areFinal) this.#close(null);
  }

  #receiveError(socket, { event_id, code, message }) {
    if (event_id === "end") this.#isFlushed = true;
    else if (event_id === "settings") this.#settingsRefused(message);
    else if (code === "queue_full") this.#lost(socket, problem("busy-server", { remedy: message }));
  }

  #settingsRefused(message) {
    this.#isSettingRefused = true;
    this.#report({ name: "listening", problem: problem("setting", { remedy: message }) });
  }

  #settingsTaken() {
    if (!this.#isSettingRefused) return;
    this.#isSettingRefused = false;
    this.#report({ name: "listening", problem: null });
  }

  /** Have the server make a turn of the last words, and say when it has. */
  #flush() {
    this.#say({ type: "input_audio_buffer.commit", event_id: "commit" });
    this.#say({ type: "conversation.item.retrieve", event_id: "end", item_id: "none" });
  }

  /** Ask for an answer: the error that there is no such item. */
  #ask() {
    this.#askedAt ??= this.#tape.end;
    this.#say({ type: "conversation.item.retrieve", event_id: "life", item_id: "none" });
  }

  /** Browsers notice a dead network late. The clock is the audio, as timers of hidden pages are slow. */
  #checkLife() {
    const second = this.#tape.rate;
    if (this.#askedAt === null) {
      if (this.#tape.end - this.#heardAt > QUIET_S * second) this.#ask();
    } else if (this.#tape.end - this.#askedAt > this.#patienceS * second) {
      this.#lost(this.#socket, problem("lost"));
    }
  }

  // -- ending --------------------------------------------------------------------------------------------------------

  #lost(socket, reason) {
    if (this.#isClosed || socket !== this.#socket) return;
    this.#socket = null;
    this.#isFlushed = false;
    socket.close();
    if (this.#isEnding && this.#turns.areFinal) return this.#close(null);
    this.#report({ name: "lost", problem: this.#failures ? reason : null });
    this.#failures += 1;
    this.#timer = setTimeout(() => this.retryNow(), this.#failures === 1 ? 200 : reason.retryS * 1000);
  }

  #close(reason) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#turns.close();
    this.#report({ name: "closed", problem: reason });
    this.#ended.resolve();
  }
}

function withResolvers() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}
