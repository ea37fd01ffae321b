/** Speaks to screen readers: lines in a hidden polite region, the last few of which stay. */

const KEPT = 5;

export class Announcer {
  #region;

  /** @param {HTMLElement} region - has `aria-live="polite"` */
  constructor(region) {
    this.#region = region;
  }

  /**
   * Have a line spoken when the reader pauses.
   * @param {string} text
   * @param {string} language - its code; unless given, that of the page
   */
  say(text, language) {
    const line = this.#region.ownerDocument.createElement("p");
    line.textContent = text;
    if (language) line.lang = language;
    this.#region.append(line);
    while (this.#region.childElementCount > KEPT) this.#region.firstElementChild.remove();
  }
}
