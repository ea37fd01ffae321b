/** Captions mode: the whole page for the last lines, in letters for a room, or as a source in OBS. */

const SIZES = [12, 400];
const LINES = [1, 8];
const COLOUR = /^(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})$/i;
const NAME = /^[a-z]{3,24}$/i;
const SILENT_MS = 10_000;
const POINTING_MS = 3_000;

/**
 * @typedef {object} Look
 * @property {number} size - of letters, in pixels
 * @property {number} lines
 * @property {string} color - of letters, as in CSS
 * @property {string} background - as in CSS
 */

/** @type {Readonly<Look>} */
export const USUAL = Object.freeze({ size: 56, lines: 2, color: "#ffffff", background: "#000000" });

/**
 * Read the address of the page: `?captions&size=64&color=ffe45c&background=000000&transparent&lines=2&start`.
 * What is missing or wrong is as usual.
 * @param {string} search - the query, with its question mark
 * @param {Look} usual
 * @returns {Look & {captions: boolean, start: boolean}}
 */
export function readAddress(search, usual = USUAL) {
  const query = new URLSearchParams(search);
  const isOn = (name) => query.has(name) && !["0", "false", "no", "off"].includes(query.get(name).toLowerCase());
  const background = isOn("transparent") ? "transparent" : colour(query.get("background"), usual.background);
  return {
    captions: isOn("captions"),
    start: isOn("start"),
    size: number(query.get("size"), SIZES, usual.size),
    lines: number(query.get("lines"), LINES, usual.lines),
    color: colour(query.get("color") ?? query.get("colour"), usual.color),
    background,
  };
}

/** Return the address of captions mode in a look, given the page's: there captions start by themselves. */
export function addressOf(base, { size, color, background }) {
  const address = new URL(base);
  address.search = address.hash = "";
  const behind = background === "transparent" ? "transparent" : `background=${bare(background)}`;
  return `${address.href}?captions&size=${size}&color=${bare(color)}&${behind}&start`;
}

/** Return the look of a choice in the settings: letters and background, such as "ffffff-transparent". */
export function lookOf(size, colours) {
  const [color, background] = colours.split("-").map((each) => colour(each, ""));
  return { ...USUAL, size: number(size, SIZES, USUAL.size), color: color || USUAL.color, background: background || USUAL.background };
}

function bare(value) {
  return value.replace(/^#/, "");
}

function number(text, [least, most], fallback) {
  const value = parseFloat(text);
  return Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : fallback;
}

function colour(text, fallback) {
  const value = bare(text ?? "");
  if (COLOUR.test(value)) return `#${value}`;
  return NAME.test(value) && (globalThis.CSS?.supports("color", value) ?? true) ? value : fallback; // node has no CSS
}

export class CaptionsMode {
  #root;
  #log;
  #changed;
  #silence = null;
  #pointing = null;

  /**
   * @param {HTMLElement} root - the document's element
   * @param {HTMLElement} log - the captions
   * @param {() => void} changed - called after the mode was entered or left
   */
  constructor(root, log, changed) {
    this.#root = root;
    this.#log = log;
    this.#changed = changed;
    for (const kind of ["pointermove", "pointerdown", "keydown"]) root.addEventListener(kind, () => this.#showBar());
    root.addEventListener("keydown", (event) => event.key === "Escape" && this.leave());
    root.ownerDocument.addEventListener("fullscreenchange", () => root.ownerDocument.fullscreenElement || this.leave());
  }

  get isOn() {
    return this.#root.classList.contains("captions-mode");
  }

  /** Fill the window. @param {Look} look */
  enter(look) {
    const { style, classList } = this.#root;
    style.setProperty("--size", `${look.size}px`);
    style.setProperty("--lines", String(look.lines));
    style.setProperty("--letters", look.color);
    style.setProperty("--behind", look.background);
    classList.add("captions-mode");
    classList.toggle("nothing-behind", look.background === "transparent");
    this.#showBar();
    this.#changed();
  }

  /** Fill the screen, where the browser lets a page do that. */
  async fillScreen() {
    await this.#root.requestFullscreen?.().catch(() => {});
  }

  leave() {
    if (!this.isOn) return;
    this.#root.classList.remove("captions-mode", "nothing-behind");
    const document = this.#root.ownerDocument;
    if (document.fullscreenElement) document.exitFullscreen();
    this.#changed();
  }

  /** Words have come: show them for a while. */
  noteWords() {
    clearTimeout(this.#silence);
    this.#log.classList.remove("silent");
    this.#silence = setTimeout(() => this.#log.classList.add("silent"), SILENT_MS);
  }

  #showBar() {
    clearTimeout(this.#pointing);
    this.#root.classList.add("pointing");
    this.#pointing = setTimeout(() => this.#root.classList.remove("pointing"), POINTING_MS);
  }
}
