/** The level of sound, as people hear it. */

const FLOOR_DB = -60;
const SILENT_S = 4;

/** Return the level of 16-bit samples: 0 at -60 dB and below, 1 at full scale. */
export function levelOf(samples) {
  let power = 0;
  for (const each of samples) power += each * each;
  const db = 10 * Math.log10(power / samples.length / 32768 ** 2 + 1e-12);
  return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
}

/** Says when a source gives nothing at all, as a muted microphone does. */
export class SilenceWatch {
  #silentS = 0;

  /** Take further samples at a rate, and return whether it has been silent for some seconds. */
  isSilent(samples, rate) {
    this.#silentS = samples.some((each) => Math.abs(each) > 1) ? 0 : this.#silentS + samples.length / rate;
    return this.#silentS >= SILENT_S;
  }
}

export class LevelMeter {
  #bar;

  /** @param {HTMLElement} bar - is scaled from 0 to 1 */
  constructor(bar) {
    this.#bar = bar;
  }

  /** Show a level from 0 to 1. */
  show(level) {
    this.#bar.style.transform = `scaleX(${level.toFixed(3)})`;
  }
}
