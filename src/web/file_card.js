/** A file on the page: its name, what is being done with it, and what comes of it. */

import { button, element } from "./element.js";
import { FileResult } from "./file_result.js";
import { fileSize } from "./media_check.js";
import { mediaTime } from "./media_time.js";
import { Transcript } from "./transcript.js";

export class FileCard {
  #page;
  #id;
  #facts = { duration: null, hasPicture: false, isPlayable: true };
  #result = null;
  #transcript = new Transcript();
  #sentAt = 0;

  /**
   * @param {File} file
   * @param {number} number Distinguishes its elements from those of other files.
   * @param {object} page See `setUpFiles`.
   * @param {{onCancel: Function, onRetry: Function, onRemove: Function}} calls What its buttons do.
   */
  constructor(file, number, page, { onCancel, onRetry, onRemove }) {
    this.file = file;
    this.#page = page;
    this.#id = `file-${number}`;
    this.#measures = element("p", { class: "measures" });
    this.#status = element("p", { class: "file-status" });
    this.#progress = element("progress", { max: "1", "aria-label": "Progress", hidden: true });
    this.#problem = element("p", { class: "problem", hidden: true });
    this.#cancel = button("Cancel", onCancel, { class: "quiet" });
    this.#retry = button("Try again", onRetry, { class: "quiet" });
    this.#remove = button("Remove", onRemove, { class: "quiet" });
    this.#build();
    this.#show("Checking\u2026", [this.#cancel]);
  }

  #name;
  #measures;
  #status;
  #progress;
  #problem;
  #cancel;
  #retry;
  #remove;

  /** Take what the browser knows of the file. */
  know(facts) {
    this.#facts = facts;
    this.#showMeasures(facts.duration);
  }

  wait() {
    this.#show("Waiting for its turn.", [this.#cancel]);
  }

  /** The service is full: say so, and when it is asked again. */
  countDown(sentence, wait_s) {
    this.#show(`${sentence} Trying again in ${Math.max(1, Math.ceil(wait_s))}\u00a0s.`, [this.#retry, this.#cancel]);
    this.#retry.textContent = "Try now";
  }

  /** The page itself refuses the file. */
  refuse(problem) {
    this.#fail(problem);
    this.#retry.textContent = "Send it anyway";
  }

  fail(problem) {
    this.#fail(problem);
    this.#page.announce(`${this.file.name}: ${problem.sentence} ${problem.remedy}`);
  }

  cancel() {
    this.#show(this.#result ? "Cancelled. The text so far:" : "Cancelled.", [this.#retry, this.#remove]);
  }

  /** The file is on its way, and `share` of it is there. */
  send(share) {
    if (share >= 1) return this.#transcribing();
    this.#show(`Uploading: ${Math.floor(share * 100)}\u00a0%`, [this.#cancel], share);
  }

  /** Forget what came of the file before. */
  reset() {
    this.#result?.close();
    this.#result = null;
    this.#transcript = new Transcript();
    this.#sentAt = 0;
  }

  /** Take events of the stream. */
  read(events) {
    for (const event of events) this.#transcript.apply(event);
    if (!this.#result && (this.#transcript.text || this.#transcript.done)) this.#addResult();
    this.#result?.grow(this.#transcript);
    this.#transcribing();
  }

  finish() {
    const { done, wordCount } = this.#transcript;
    this.#result.finish(this.#transcript);
    this.#showMeasures(done.duration);
    const took = mediaTime((performance.now() - this.#sentAt) / 1000);
    const words = `${wordCount.toLocaleString("en")} word${wordCount === 1 ? "" : "s"}`;
    const status = wordCount ? `${words}, transcribed in ${took}` : "No speech was found in this file.";
    this.#show(status, [this.#remove]);
    this.#page.announce(`${this.file.name}: ${status}`);
  }

  /** Take the card from the page and let go of the file. */
  close() {
    this.reset();
    this.element.remove();
  }

  #build() {
    this.#name = element("h3", { id: `${this.#id}-name`, dir: "auto", tabindex: "-1" }, this.file.name);
    const actions = element("div", { class: "file-actions" }, this.#retry, this.#cancel, this.#remove);
    const head = element("div", { class: "file-head" }, this.#name, this.#measures, this.#status, actions);
    const attributes = { class: "file", "aria-labelledby": this.#name.id };
    this.element = element("article", attributes, head, this.#progress, this.#problem);
    this.#showMeasures(null);
  }

  #addResult() {
    this.#result = new FileResult(this.file, this.#facts, this.#id, this.#page);
    this.element.append(this.#result.element);
  }

  #transcribing() {
    const length = this.#facts.duration;
    const { end_s } = this.#transcript;
    this.#sentAt ||= performance.now();
    if (length && end_s) this.#show(`Transcribing: ${mediaTime(end_s)} of ${mediaTime(length)}`, [this.#cancel], end_s / length);
    else this.#show("Transcribing\u2026", [this.#cancel], null);
  }

  #fail(problem) {
    this.#show(this.#result ? "Not complete. The text so far:" : "", [this.#retry, this.#remove]);
    this.#problem.replaceChildren(element("strong", {}, problem.sentence), ` ${problem.remedy}`);
    this.#problem.hidden = false;
  }

  /** @param {number | null} [progress] A share; null: it is not known; undefined: nothing is under way. */
  #show(status, buttons, progress) {
    const focused = [this.#cancel, this.#retry, this.#remove].find((each) => each === document.activeElement);
    this.#status.textContent = status;
    this.#problem.hidden = true;
    this.#retry.textContent = "Try again";
    for (const each of [this.#cancel, this.#retry, this.#remove]) each.hidden = !buttons.includes(each);
    this.#progress.hidden = progress === undefined;
    if (typeof progress === "number") this.#progress.value = Math.min(1, progress);
    else this.#progress.removeAttribute("value");
    // A keyboard user stays at this file, but not at a button that would throw its text away.
    const next = buttons.find((each) => each !== this.#remove) ?? this.#name;
    if (focused?.hidden) next.focus({ preventScroll: true });
  }

  #showMeasures(duration) {
    const size = fileSize(this.file.size);
    this.#measures.textContent = duration ? `${mediaTime(duration)} \u00b7 ${size}` : size;
  }
}
