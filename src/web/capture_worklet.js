/** Runs beside the page, in the browser's audio thread: collects sound into pieces of 16-bit samples. */

class Recorder extends AudioWorkletProcessor {
  #piece;
  #filled = 0;

  constructor({ processorOptions }) {
    super();
    this.#piece = new Int16Array(processorOptions.samples);
    this.port.onmessage = ({ data }) => data === "flush" && this.#flush();
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

  /** Give out what there is of a piece, and a mark that all is given out. */
  #flush() {
    if (this.#filled) this.#post();
    this.port.postMessage("flushed");
  }

  #post() {
    const piece = this.#piece.slice(0, this.#filled);
    this.#filled = 0;
    this.port.postMessage(piece, [piece.buffer]);
  }
}

registerProcessor("recorder", Recorder);
