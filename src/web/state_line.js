/** The line that says what the page is doing, and for a moment what else has happened. */

const MENTION_MS = 4_000;

export class StateLine {
  #element;
  #standing = "";
  #timer = null;

  /** @param {HTMLElement} element - has `role="status"` */
  constructor(element) {
    this.#element = element;
  }

  /** Say what the page is doing from now on. A mention keeps its time. */
  say(text) {
    this.#standing = text;
    if (this.#timer === null) this.#write(text);
  }

  /** Say something for a moment, then again what the page is doing. */
  mention(text) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end(), MENTION_MS);
    this.#write(text);
  }

  #end() {
    this.#timer = null;
    this.#write(this.#standing);
  }

  #write(text) {
    if (this.#element.textContent !== text) this.#element.textContent = text;
  }
}
