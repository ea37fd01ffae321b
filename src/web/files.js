/** The Files part of the page: files come in, are checked, wait, are sent two at a time, and become cards with their text. */

import { FileCard } from "./file_card.js";
import { fileProblem } from "./file_problem.js";
import { FileQueue } from "./file_queue.js";
import { mediaFacts, refusalOf } from "./media_check.js";
import { mediaTime } from "./media_time.js";
import { hotWords } from "./session_settings.js";
import { upload } from "./upload.js";

const TICK_MS = 250;

/**
 * Make the Files part work.
 *
 * @param {HTMLElement} section
 * @param {object} page
 * @param {() => string} page.key The API key, or "".
 * @param {boolean} page.wantsKey Whether the service wants one.
 * @param {() => void} page.askForKey Leads the reader to the field of the key.
 * @param {string} page.base The address that API paths are relative to.
 * @param {{maxAudioSeconds: number, maxUploadMb: number}} page.limits
 * @param {string[]} page.languages Codes of the model's languages; none while it loads.
 * @param {() => string} page.language A code, or "" for the service's choice.
 * @param {() => string} page.keywords Words to expect, with commas between them.
 * @param {{get: Function, set: Function}} page.settings
 * @param {(text: string) => void} page.announce Has a text spoken by screen readers.
 */
export function setUpFiles(section, page) {
  const part = new FilesPart(section, page);
  const input = section.querySelector("input[type=file]");
  section.querySelector(".drop-note").textContent = limitsInWords(page.limits);
  input.addEventListener("change", () => {
    part.add([...input.files]);
    input.value = ""; // the same file may be chosen again
  });
  takeDrops(section, (files) => part.add(files));
  window.addEventListener("beforeunload", (event) => part.isBusy && event.preventDefault());
}

class FilesPart {
  #page;
  #list;
  #input;
  #speakers;
  #queue = new FileQueue();
  #cancels = new Map();
  #fullness = new Map(); // what the service said to files that it was too full for
  #keyless = new Set();
  #checks = Promise.resolve();
  #ticks = 0;
  #number = 0;

  constructor(section, page) {
    this.#page = page;
    this.#list = section.querySelector("#files-list");
    this.#input = section.querySelector("input[type=file]");
    this.#speakers = section.querySelector("#files-speakers");
    this.#speakers.checked = page.settings.get("files-speakers", false);
    this.#speakers.addEventListener("change", () => page.settings.set("files-speakers", this.#speakers.checked));
    this.#list.addEventListener("play", (event) => this.#pauseOthers(event.target), true);
  }

  get isBusy() {
    return this.#queue.isBusy;
  }

  /** Take files at the end of the queue. @param {File[]} files */
  add(files) {
    for (const file of files) this.#addCard(file);
  }

  #addCard(file) {
    const card = new FileCard(file, ++this.#number, this.#page, {
      onCancel: () => this.#cancel(card),
      onRetry: () => this.#retry(card),
      onRemove: () => this.#remove(card),
    });
    this.#queue.add(card);
    this.#list.append(card.element);
    this.#checks = this.#checks.then(() => this.#check(card));
  }

  async #check(card) {
    if (this.#queue.state(card) !== "checking") return;
    const facts = await mediaFacts(card.file);
    card.know(facts);
    if (this.#queue.state(card) !== "checking") return;
    const refusal = refusalOf({ size: card.file.size, duration: facts.duration }, this.#page.limits);
    this.#queue.checked(card, refusal !== null);
    if (refusal) card.refuse(refusal);
    else card.wait();
    this.#sendNext();
  }

  #sendNext() {
    const now = now_s(); // one for both, or a wait that ends between them would never end
    for (const card of this.#queue.start(now)) this.#send(card);
    this.#tick(now);
  }

  #send(card) {
    const { key, wantsKey, base } = this.#page;
    card.reset();
    if (!isUsable(key(), wantsKey)) return this.#end(card, { kind: "refused", status: 401 });
    card.send(0);
    const request = { file: card.file, address: new URL("v1/audio/transcriptions", base).href, key: key(), fields: this.#fields() };
    const cancel = upload({
      ...request,
      onSent: (share) => card.send(share),
      onEvents: (events) => card.read(events),
      onEnd: (outcome) => this.#end(card, outcome),
    });
    this.#cancels.set(card, cancel);
  }

  /** One transcription gives text, words, segments and cues, so that nothing is asked for twice. */
  #fields() {
    const fields = [
      ["stream", "true"],
      ["response_format", "verbose_json"],
      ["timestamp_granularities[]", "word"],
      ["timestamp_granularities[]", "segment"],
    ];
    if (this.#speakers.checked) fields.push(["diarize", "true"]);
    if (this.#page.language()) fields.push(["language", this.#page.language()]);
    for (const words of hotWords(this.#page.keywords())) fields.push(["keywords[]", words]);
    return fields;
  }

  #end(card, outcome) {
    this.#cancels.delete(card);
    const problem = outcome.kind === "done" ? null : fileProblem(outcome);
    if (problem && problem.retry_s !== null) this.#postpone(card, problem);
    else {
      this.#fullness.delete(card);
      if (problem) this.#fail(card, problem);
      else this.#finish(card);
    }
    this.#sendNext();
  }

  #finish(card) {
    this.#queue.done(card);
    card.finish();
  }

  #fail(card, problem) {
    this.#queue.fail(card);
    card.fail(problem);
    if (!problem.wantsKey) return;
    this.#keyless.add(card);
    this.#page.askForKey();
  }

  /** Send a file again by itself once the service may have room. Screen readers say so once, however long it takes. */
  #postpone(card, { sentence, retry_s }) {
    if (!this.#fullness.has(card)) this.#page.announce(`${card.file.name}: ${sentence} It is sent again by itself.`);
    this.#queue.full(card, now_s(), Math.max(1, retry_s));
    this.#fullness.set(card, sentence);
  }

  #cancel(card) {
    this.#cancels.get(card)?.();
    this.#cancels.delete(card);
    this.#fullness.delete(card);
    this.#queue.cancel(card);
    card.cancel();
    this.#sendNext();
  }

  /** Try a file again, and with it all others that only lacked the key. */
  #retry(card) {
    const cards = this.#keyless.has(card) ? [...this.#keyless] : [card];
    for (const each of cards) {
      this.#keyless.delete(each);
      this.#queue.retry(each);
      each.wait();
    }
    this.#sendNext();
  }

  #remove(card) {
    const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
    this.#queue.remove(card);
    this.#keyless.delete(card);
    card.close();
    (next?.querySelector("button:not([hidden])") ?? this.#input).focus();
  }

  /** Count down while the service is full, and then go on. */
  #tick(now) {
    clearTimeout(this.#ticks);
    const wait_s = this.#queue.wait_s(now);
    for (const [card, sentence] of this.#fullness) {
      if (this.#queue.state(card) === "waiting") card.countDown(sentence, wait_s);
    }
    if (wait_s > 0) this.#ticks = setTimeout(() => this.#sendNext(), Math.min(TICK_MS, wait_s * 1000));
  }

  #pauseOthers(playing) {
    for (const media of this.#list.querySelectorAll("audio, video")) if (media !== playing) media.pause();
  }
}

const now_s = () => performance.now() / 1000;

/** Whether a request with this key can be sent at all: it is there if wanted, and fits into a header. */
function isUsable(key, isWanted) {
  return /^[!-~]*$/.test(key) && (key !== "" || !isWanted);
}

function limitsInWords({ maxAudioSeconds, maxUploadMb }) {
  const limits = [];
  if (Number.isFinite(maxAudioSeconds)) limits.push(mediaTime(maxAudioSeconds));
  if (Number.isFinite(maxUploadMb)) limits.push(`${Math.floor(maxUploadMb)} MB`);
  const most = limits.length ? `At most ${limits.join(" and ")} each. ` : "";
  return `${most}Nothing is kept on the server.`;
}

/** Take files that are dropped anywhere on the page; without this the browser would open them in its place. */
function takeDrops(section, onFiles) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const over = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    section.classList.add("dropping");
  };
  window.addEventListener("dragenter", over);
  window.addEventListener("dragover", over);
  window.addEventListener("dragleave", (event) => event.relatedTarget === null && section.classList.remove("dropping"));
  window.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    section.classList.remove("dropping");
    onFiles(droppedFiles(event.dataTransfer));
  });
}

/** A folder is no file, though browsers list it as one. */
function droppedFiles({ items }) {
  const files = [...items].filter((item) => item.kind === "file" && !item.webkitGetAsEntry?.()?.isDirectory);
  return files.map((item) => item.getAsFile());
}
