/** Marks on text without an element in it: the CSS Custom Highlight API, or boxes behind the text where it is missing. */

export class TextMark {
  #name;
  #priority;
  #layer;
  #marks = [];

  /**
   * @param {string} name The highlight's name in the style sheet: `::highlight(name)`, and `.mark-box.name`.
   * @param {number} priority Of two marks on one place that of the higher priority is seen.
   * @param {HTMLElement} layer Where boxes go: an element that contains the text and is positioned.
   */
  constructor(name, priority, layer) {
    this.#name = name;
    this.#priority = priority;
    this.#layer = layer;
  }

  /** Mark these ranges and no others. */
  show(ranges) {
    this.clear();
    if (globalThis.CSS?.highlights && globalThis.Highlight) this.#highlight(ranges);
    else this.#marks = ranges.slice(0, 1).map((range) => this.#box(range));
  }

  clear() {
    const highlight = globalThis.CSS?.highlights?.get(this.#name);
    for (const mark of this.#marks) {
      if (mark instanceof HTMLElement) mark.remove();
      else highlight?.delete(mark);
    }
    this.#marks = [];
  }

  /** All files share one highlight of a name; each takes out only what it put in. */
  #highlight(ranges) {
    if (!CSS.highlights.has(this.#name)) CSS.highlights.set(this.#name, new Highlight());
    const highlight = CSS.highlights.get(this.#name);
    highlight.priority = this.#priority;
    for (const range of ranges) highlight.add(range);
    this.#marks = ranges;
  }

  #box(range) {
    const box = document.createElement("span");
    const place = range.getBoundingClientRect();
    const origin = this.#layer.getBoundingClientRect();
    box.className = `mark-box ${this.#name}`;
    box.style.left = `${place.left - origin.left}px`;
    box.style.top = `${place.top - origin.top}px`;
    box.style.width = `${place.width}px`;
    box.style.height = `${place.height}px`;
    this.#layer.append(box);
    return box;
  }
}
