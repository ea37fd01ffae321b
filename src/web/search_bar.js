/** The field that searches a transcript, and goes from one place to the next. */

import { button, element } from "./element.js";

export class SearchBar {
  #view;
  #field;
  #count;
  #found = 0;
  #current = -1;

  /**
   * @param {import("./transcript_view.js").TranscriptView} view
   * @param {string} label - tells this search from others on the page
   */
  constructor(view, label) {
    this.#view = view;
    this.#field = element("input", { type: "search", placeholder: "Search", "aria-label": "Search in the text" });
    this.#count = element("span", { class: "search-count", role: "status" });
    this.#steps = [
      button("\u2191", () => this.#go(-1), { class: "step", "aria-label": "Previous place", disabled: true }),
      button("\u2193", () => this.#go(1), { class: "step", "aria-label": "Next place", disabled: true }),
    ];
    this.element = element("div", { class: "search", role: "search", "aria-label": label }, this.#field, this.#count, ...this.#steps);
    this.#field.addEventListener("input", () => this.#search());
    this.#field.addEventListener("keydown", (event) => this.#pressed(event));
  }

  #steps;

  /** Search again, as the text has grown or is shown anew; the place stays. */
  refresh() {
    if (!this.#field.value.trim()) return;
    this.#found = this.#view.search(this.#field.value);
    this.#current = Math.min(this.#current, this.#found - 1);
    this.#show();
  }

  #search() {
    this.#found = this.#view.search(this.#field.value);
    this.#current = -1;
    if (this.#found) this.#go(1);
    else this.#show();
  }

  #go(step) {
    if (!this.#found) return;
    this.#current = (this.#current + step + this.#found) % this.#found;
    this.#view.showHit(this.#current);
    this.#show();
  }

  #show() {
    const place = `${this.#current + 1} of ${this.#found}`;
    this.#count.textContent = this.#field.value.trim() ? (this.#found ? place : "Not found") : "";
    for (const step of this.#steps) step.disabled = !this.#found;
  }

  #pressed(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      this.#go(event.shiftKey ? -1 : 1);
    }
    if (event.key === "Escape" && this.#field.value) {
      this.#field.value = "";
      this.#search();
    }
  }
}
