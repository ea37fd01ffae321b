/** Settings that outlive the page, in the browser's localStorage where it allows that. Never audio, text or keys. */

const PREFIX = "parakeet.";

export class Settings {
  #storage;
  #unsaved = new Map();

  /** @param {Storage|null} storage - null, or one that throws, where the browser keeps nothing */
  constructor(storage) {
    this.#storage = storage;
  }

  /**
   * Return a setting, or `fallback` if there is none of the fallback's type.
   * @template T
   * @param {string} name
   * @param {T} fallback
   * @returns {T}
   */
  get(name, fallback) {
    const value = this.#unsaved.has(name) ? this.#unsaved.get(name) : this.#stored(name);
    return typeof value === typeof fallback ? value : fallback;
  }

  /** Keep a setting: anything that JSON can hold. */
  set(name, value) {
    try {
      this.#storage.setItem(PREFIX + name, JSON.stringify(value));
      this.#unsaved.delete(name);
    } catch {
      this.#unsaved.set(name, value);
    }
  }

  #stored(name) {
    try {
      return JSON.parse(this.#storage.getItem(PREFIX + name)) ?? undefined;
    } catch {
      return undefined;
    }
  }
}

/** Return a storage of `window`, or null where the browser forbids it. */
export function storageOf(window, kind) {
  try {
    return window[kind];
  } catch {
    return null;
  }
}
