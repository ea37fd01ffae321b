/** The place on the page that says what is wrong and what to do. */

import { retryWords } from "./problem.js";

export class ProblemBox {
  #box;
  #sentence;
  #remedy;

  /** @param {{box: HTMLElement, sentence: HTMLElement, remedy: HTMLElement}} elements */
  constructor({ box, sentence, remedy }) {
    this.#box = box;
    this.#sentence = sentence;
    this.#remedy = remedy;
  }

  /** Show a problem; null: there is none any more. @param {import("./problem.js").Problem|null} problem */
  show(problem) {
    this.#box.hidden = !problem;
    if (!problem) return;
    write(this.#sentence, problem.sentence);
    write(this.#remedy, [problem.remedy, retryWords(problem)].filter(Boolean).join(" "));
  }
}

/** Screen readers speak what is written, also if it was there before. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
