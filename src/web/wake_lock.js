/** Keeps the screen on, where the browser can. */

export class WakeLock {
  #isWanted = false;
  #lock = null;

  constructor() {
    document.addEventListener("visibilitychange", () => this.#take()); // a hidden page loses it
  }

  /** Keep the screen on from now on, or no longer. */
  set wanted(isWanted) {
    this.#isWanted = isWanted;
    if (isWanted) this.#take();
    else this.#lock?.release();
  }

  async #take() {
    if (!this.#isWanted || document.visibilityState !== "visible") return;
    try {
      this.#lock = await navigator.wakeLock?.request("screen");
      if (!this.#isWanted) this.#lock?.release();
    } catch {
      // the battery is low, or the browser has none
    }
  }
}
