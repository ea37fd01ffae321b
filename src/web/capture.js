/** Records the microphone, the sound of a tab or of the computer, or both, as 16-bit mono samples. */

import { Refusal, problem, problemOfCapture } from "./problem.js";

const PIECE_S = 0.1;
const RATES = [16_000, undefined, 48_000];
/** The model's rate, so that nobody resamples twice; then what the device has, for browsers that convert nothing. */
const MAX_RATE = 48_000;
/** Without a click on the page the browser never resumes; after one, a Bluetooth device may take seconds. */
const RESUME_MS = 1_000;
const RESUME_AFTER_CLICK_MS = 5_000;
/** How long the last sound may take from the audio thread to the page. */
const FLUSH_MS = 500;

/**
 * @typedef {object} CaptureChoice
 * @property {"microphone"|"screen"|"both"} source
 * @property {string} device - id of the microphone; empty: the browser's choice
 * @property {boolean} noise - whether the browser suppresses noise
 * @property {boolean} echo - whether it cancels echo
 * @property {boolean} gain - whether it levels the volume
 */

export class Capture {
  #streams;
  #context;
  #node;
  #isStopped = false;

  constructor(streams, context, node) {
    this.#streams = streams;
    this.#context = context;
    this.#node = node;
  }

  /** Samples a second. */
  get rate() {
    return this.#context.sampleRate;
  }

  /**
   * Begin to record. Throw a `Refusal` if that is not possible.
   * @param {CaptureChoice} choice
   * @param {string} workletAddress - of `capture_worklet.js`
   * @param {(samples: Int16Array) => void} heard - gets a tenth of a second at a time
   * @param {() => void} ended - called when a source has ended by itself
   */
  static async start(choice, workletAddress, heard, ended) {
    if (!window.isSecureContext) throw new Refusal(problem("insecure"));
    if (!navigator.mediaDevices || !window.AudioWorkletNode) throw new Refusal(problem("no-worklet"));
    const streams = [];
    try {
      if (choice.source !== "microphone") streams.push(await screenSound()); // first: it needs the click
      if (choice.source !== "screen") streams.push(await microphone(choice));
      const context = await contextFor(streams, workletAddress);
      const node = recorder(context, streams, heard);
      for (const track of streams.flatMap((each) => each.getAudioTracks())) track.addEventListener("ended", ended);
      return new Capture(streams, context, node);
    } catch (error) {
      stopAll(streams);
      throw error;
    }
  }

  /** Stop recording once all that was recorded has been heard, and give up the devices. */
  async stop() {
    await this.#flushed();
    this.abandon();
  }

  /** Stop recording at once, and give up the devices. */
  abandon() {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#node.port.onmessage = null;
    stopAll(this.#streams);
    this.#context.onstatechange = null;
    if (this.#context.state !== "closed") this.#context.close();
  }

  /** Resolve once the audio thread has given out the rest, or is too slow. */
  #flushed() {
    const { port } = this.#node;
    return new Promise((resolve) => {
      port.addEventListener("message", ({ data }) => data === "flushed" && resolve());
      port.postMessage("flush");
      setTimeout(resolve, FLUSH_MS);
    });
  }
}

/** Return the microphones: id and name. Browsers give names once the microphone was allowed. */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
  const found = devices.filter((each) => each.kind === "audioinput" && each.label && each.deviceId !== "default");
  return found.map((each) => ({ id: each.deviceId, name: each.label }));
}

async function microphone({ device, noise, echo, gain }) {
  const wanted = { noiseSuppression: noise, echoCancellation: echo, autoGainControl: gain, channelCount: { ideal: 1 } };
  const ask = (audio) => navigator.mediaDevices.getUserMedia({ audio });
  try {
    if (!device) return await ask(wanted);
    return await ask({ ...wanted, deviceId: { exact: device } }).catch((error) => {
      if (error.name !== "OverconstrainedError" && error.name !== "NotFoundError") throw error;
      return ask(wanted); // the chosen one is not connected
    });
  } catch (error) {
    throw new Refusal(problemOfCapture(error, "microphone"));
  }
}

async function screenSound() {
  if (!navigator.mediaDevices.getDisplayMedia) throw new Refusal(problem("no-sharing"));
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  let stream;
  try {
    stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: raw, systemAudio: "include" });
  } catch (error) {
    throw new Refusal(problemOfCapture(error, "screen"));
  }
  if (stream.getAudioTracks().length) return stream;
  stopAll([stream]);
  throw new Refusal(problem("no-screen-sound"));
}

/** Return a running audio context that takes all streams. Some browsers convert no rates: then it has the device's. */
async function contextFor(streams, workletAddress) {
  for (const sampleRate of RATES) {
    let context;
    try {
      context = new AudioContext(sampleRate ? { sampleRate } : {});
      for (const each of streams) context.createMediaStreamSource(each).disconnect();
      if (context.sampleRate > MAX_RATE) throw new Refusal(problem("busy"));
      await context.audioWorklet.addModule(workletAddress);
      await resumed(context);
      return context;
    } catch (error) {
      await context?.close();
      if (error instanceof Refusal && error.problem.kind === "no-gesture") throw error;
    }
  }
  throw new Refusal(problem("busy"));
}

async function resumed(context) {
  const limit_ms = navigator.userActivation?.hasBeenActive ? RESUME_AFTER_CLICK_MS : RESUME_MS;
  const late = new Promise((resolve) => setTimeout(resolve, limit_ms));
  await Promise.race([context.resume(), late]);
  if (context.state !== "running") throw new Refusal(problem("no-gesture"));
}

function recorder(context, streams, heard) {
  const options = { channelCount: 1, channelCountMode: "explicit", processorOptions: { samples: Math.round(context.sampleRate * PIECE_S) } };
  const node = new AudioWorkletNode(context, "recorder", options);
  node.port.onmessage = ({ data }) => data !== "flushed" && heard(data);
  for (const each of streams) context.createMediaStreamSource(each).connect(node); // they add up
  node.connect(context.destination); // it plays nothing, but what is not connected does not run everywhere
  context.onstatechange = () => context.state !== "closed" && context.resume(); // after a call on a phone
  return node;
}

function stopAll(streams) {
  for (const track of streams.flatMap((each) => each.getTracks())) track.stop();
}
