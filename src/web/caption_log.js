/** The captions on the page: a line for each turn. */

import { clockTime } from "./clock_time.js";

const NEAR_END_PX = 40;
const RENDER_MS = 20;
/** Events that belong together come within this time, and are shown at once. */

export class CaptionLog {
  #log;
  #newest;
  #hint;
  #now;
  #lines = new Map();
  #waiting = new Set();
  #timer = null;
  #follows = true;
  #reserved = null;

  /**
   * @param {{log: HTMLElement, newest: HTMLElement, hint: HTMLElement}} elements
   * @param {() => Date} now
   */
  constructor({ log, newest, hint }, now = () => new Date()) {
    this.#log = log;
    this.#newest = newest;
    this.#hint = hint;
    this.#now = now;
    log.addEventListener("scroll", () => this.#noteScroll(), { passive: true });
    newest.addEventListener("click", () => this.follow());
    new ResizeObserver(() => this.#refit()).observe(log);
  }

  get isEmpty() {
    return !this.#lines.size;
  }

  /** Show a turn, or what has become of it. */
  show(turn) {
    if (!this.#lines.has(turn)) this.#add(turn);
    this.#waiting.add(turn);
    this.#timer ??= setTimeout(() => this.#render(), RENDER_MS);
  }

  /** Take a turn away that was none. */
  remove(turn) {
    this.#waiting.delete(turn);
    this.#lines.get(turn)?.element.remove();
    this.#lines.delete(turn);
  }

  /** Say between the turns that something is missing. */
  note(text) {
    this.#append("note", this.#now()).settled.textContent = text;
    this.#keepUp();
  }

  /** Scroll to the newest words, and along with them from now on. */
  follow() {
    this.#follows = true;
    this.#keepUp();
  }

  clear() {
    this.#render();
    this.#lines.clear();
    this.#reserved = null;
    this.#log.replaceChildren();
    this.#hint.hidden = false;
    this.follow();
  }

  /** The captions as they are: time of day and text of each. @returns {{at: Date, text: string}[]} */
  get lines() {
    const shown = [...this.#lines].map(([turn, { at }]) => ({ at, text: turn.shown.settled + turn.shown.provisional }));
    return shown.filter(({ text }) => text);
  }

  #add(turn) {
    this.#releaseSpace();
    const line = this.#append("turn", turn.at);
    this.#reserved = line;
    this.#lines.set(turn, line);
  }

  #append(kind, at) {
    const document = this.#log.ownerDocument;
    const [element, time, text, settled, provisional] = ["div", "time", "p", "span", "span"].map((each) => document.createElement(each));
    element.className = kind === "turn" ? "turn" : "turn note";
    time.textContent = clockTime(at);
    time.dateTime = at.toISOString();
    provisional.className = "provisional";
    text.dir = "auto";
    text.append(settled, provisional);
    element.append(time, text);
    this.#log.append(element);
    this.#hint.hidden = true;
    return { element, text, settled, provisional, at, height: 0 };
  }

  #render() {
    clearTimeout(this.#timer);
    this.#timer = null;
    for (const turn of this.#waiting) {
      const line = this.#lines.get(turn);
      const { settled, provisional } = turn.shown;
      setText(line.settled, settled);
      setText(line.provisional, provisional);
      line.text.lang = turn.language;
      this.#keepSpace(line);
    }
    this.#waiting.clear();
    this.#keepUp();
  }

  /** A line keeps the height that it had, until another begins: shorter text moves nothing. */
  #keepSpace(line) {
    const height = line.text.offsetHeight;
    if (height <= line.height) return;
    line.height = height;
    line.text.style.minHeight = `${height}px`;
  }

  #releaseSpace() {
    if (this.#reserved) this.#reserved.text.style.minHeight = "";
  }

  #noteScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.#newest.hidden = this.#follows;
  }

  #keepUp() {
    if (this.#follows) this.#log.scrollTop = this.#log.scrollHeight;
    this.#newest.hidden = this.#follows;
  }

  #refit() {
    if (this.#reserved) {
      this.#reserved.height = 0;
      this.#releaseSpace();
      this.#keepSpace(this.#reserved);
    }
    this.#keepUp();
  }
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
