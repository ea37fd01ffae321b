/** Runs beside the page, in the browser's audio thread: collects sound into pieces of 16-bit samples. */

class Recorder extends AudioWorkletProcessor {
  #piece;
  #filled = 0;

  constructor({ processorOptions }) {
    super();
    this.#piece = new Int16Array(processorOptions.samples);
  }

  /** Take 128 samples of each input; silence counts too, as the service's clock is the audio. */
  process([input]) {
    const sound = input[0];
    for (let index = 0; index < 128; index += 1) {
      const value = sound ? Math.max(-1, Math.min(1, sound[index])) : 0;
      this.#piece[this.#filled] = Math.round(value * 32767);
      this.#filled += 1;
      if (this.#filled === this.#piece.length) this.#post();
    }
    return true;
  }

  #post() {
    const full = this.#piece;
    this.#piece = new Int16Array(full.length);
    this.#filled = 0;
    this.port.postMessage(full, [full.buffer]);
  }
}

registerProcessor("recorder", Recorder);
