/** The last audio that was recorded, to be sent again where a connection was lost. Positions are samples since the start. */

export class AudioTape {
  #pieces = [];
  #start = 0;
  #end = 0;
  #arrivals = [];
  #maxSamples;
  #now;

  /**
   * @param {number} rate - samples a second
   * @param {number} maxS - the oldest audio goes when there is more than this
   * @param {() => number} now - the time in ms since 1970
   */
  constructor(rate, maxS, now = Date.now) {
    this.rate = rate;
    this.#now = now;
    this.#maxSamples = Math.round(rate * maxS);
  }

  /** The first sample that is kept. */
  get start() {
    return this.#start;
  }

  /** The sample after the last one: how many were recorded in all. */
  get end() {
    return this.#end;
  }

  /** Add audio. @param {Int16Array} samples */
  append(samples) {
    this.#pieces.push(samples);
    this.#arrivals.push(this.#now());
    this.#end += samples.length;
    this.dropBefore(this.#end - this.#maxSamples);
  }

  /** Forget audio before a sample, by whole pieces. */
  dropBefore(sample) {
    let gone = 0;
    while (gone < this.#pieces.length && this.#start + this.#pieces[gone].length <= sample) {
      this.#start += this.#pieces[gone].length;
      gone += 1;
    }
    this.#pieces.splice(0, gone);
    this.#arrivals.splice(0, gone);
  }

  /** Return when a sample was recorded, by the arrival of its piece. @param {number} sample @returns {Date} */
  timeOf(sample) {
    let [end, index] = [this.#start, 0];
    for (; index < this.#pieces.length; index += 1) {
      end += this.#pieces[index].length;
      if (end >= sample) break;
    }
    const arrival = this.#arrivals[index] ?? this.#arrivals.at(-1) ?? this.#now();
    return new Date(arrival - (Math.max(0, end - sample) * 1000) / this.rate);
  }

  /** Yield the kept audio from a sample on, in pieces. @returns {Generator<Int16Array>} */
  *from(sample) {
    let at = this.#start;
    for (const piece of this.#pieces) {
      if (at + piece.length > sample) yield piece.subarray(Math.max(0, sample - at));
      at += piece.length;
    }
  }
}
