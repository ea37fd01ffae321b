/** One recording, from start to stop: sound, its tape, its turns and its connection. */

import { AudioTape } from "./audio_tape.js";
import { Capture } from "./capture.js";
import { Connection } from "./connection.js";
import { sessionOf } from "./session_settings.js";
import { Turns } from "./turns.js";

const KEPT_S = 120;
/** Audio that is kept for a lost connection: a minute of the gap, and as much of the turn before it. */

export class Recording {
  #capture;
  #connection;

  constructor(capture, connection) {
    this.#capture = capture;
    this.#connection = connection;
  }

  /**
   * Begin to record; `open` connects it. Throw a `Refusal` if there is no sound to record.
   * @param {object} server - see `Connection`
   * @param {import("./capture.js").CaptureChoice} sound
   * @param {() => {language: string, hotWords: string, pauseMs: number, hypothesis: boolean}} choice
   * @param {object} listener - what is told: heard(samples, rate), changed(turn), removed(turn), state(state),
   *   missed(seconds), gaveUp(seconds), ended() when the sound has ended by itself
   */
  static async start(server, sound, choice, listener) {
    let connection = null;
    const early = [];
    const heard = (samples) => {
      if (connection) connection.append(samples);
      else early.push(samples);
      listener.heard(samples, capture?.rate ?? samples.length * 10);
    };
    let capture = null;
    const worklet = new URL("web/capture_worklet.js", server.base).href;
    capture = await Capture.start(sound, worklet, heard, listener.ended);
    const tape = new AudioTape(capture.rate, KEPT_S);
    const more = { gaveUp: listener.gaveUp, timeOf: (sample) => tape.timeOf(sample) };
    const turns = new Turns(capture.rate, listener.changed, listener.removed, more);
    const session = () => sessionOf({ rate: capture.rate, ...choice() });
    connection = new Connection(server, tape, turns, session, listener.state, listener.missed);
    for (const samples of early) connection.append(samples);
    return new Recording(capture, connection);
  }

  /** Connect to the service. What was heard by then is sent first. */
  open() {
    this.#connection.open();
  }

  /** Stop the sound, and resolve once the last words have their text. */
  async stop() {
    await this.#capture.stop();
    return this.#connection.end();
  }

  /** Stop without waiting for the last words. */
  abandon() {
    this.#capture.abandon();
    this.#connection.abandon();
  }

  /** Take over settings that have changed. */
  update() {
    this.#connection.update();
  }

  /** The system has gone online or offline. */
  noteNetwork(isOnline) {
    if (isOnline) this.#connection.retryNow();
    else this.#connection.doubt();
  }
}
