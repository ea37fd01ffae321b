/** Speaks to screen readers: lines in a hidden polite region, the last few of which stay. */

const KEPT = 5;

export class Announcer {
  #region;

  /** @param {HTMLElement} region - has `aria-live="polite"` */
  constructor(region) {
    this.#region = region;
  }

  /** Have a line spoken when the reader pauses. */
  say(text) {
    const line = this.#region.ownerDocument.createElement("p");
    line.textContent = text;
    this.#region.append(line);
    while (this.#region.childElementCount > KEPT) this.#region.firstElementChild.remove();
  }
}
