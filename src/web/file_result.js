/** What comes of a file: its player, its text with the tools for it, and its downloads. */

import { copyText } from "./clipboard.js";
import { Downloads } from "./downloads.js";
import { button, element } from "./element.js";
import { Player } from "./player.js";
import { SearchBar } from "./search_bar.js";
import { vtt } from "./subtitles.js";
import { TranscriptView } from "./transcript_view.js";

/** Milliseconds between two drawings of the ribbon while the text grows: one costs a pass over all words. */
const DRAW_MS = 1000;
const COPIED_MS = 2000;
const HINT = "Click a word to hear it. With the keyboard: arrow keys choose a word, Enter plays from it, Space stops.";

export class FileResult {
  #page;
  #file;
  #view;
  #search;
  #player = null;
  #downloads = null;
  #segments = [];
  #drawnAt = -Infinity;

  /**
   * @param {File} file
   * @param {{duration: number | null, hasPicture: boolean, isPlayable: boolean}} facts See `mediaFacts`.
   * @param {string} id Distinguishes the elements of this file.
   * @param {object} page See `setUpFiles`.
   */
  constructor(file, facts, id, page) {
    this.#page = page;
    this.#file = file;
    const grouping = page.settings.get("files-view", "paragraphs");
    const calls = { onPlay: (time_s) => this.#player?.play(time_s), announce: page.announce };
    this.#view = new TranscriptView(`Text of ${file.name}`, `${id}-hint`, grouping, calls);
    this.#search = new SearchBar(this.#view, `Search in ${file.name}`);
    this.#hint = element("p", { id: `${id}-hint`, class: "transcript-hint" }, HINT);
    this.#tools = element("div", { class: "tools" }, this.#search.element, this.#groupings(id, grouping), this.#copy());
    this.element = element("div", { class: "result" }, this.#tools, this.#view.element, this.#hint);
    if (facts.isPlayable) this.#addPlayer(facts);
    else this.#explainSilence();
  }

  #hint;
  #tools;

  /** Show what has come of the text. @param {import("./transcript.js").Transcript} transcript */
  grow(transcript) {
    this.#segments = transcript.segments;
    this.#view.show(transcript.segments, transcript.tail);
    if (performance.now() - this.#drawnAt < DRAW_MS && !transcript.done) return;
    this.#drawnAt = performance.now();
    this.#player?.draw(this.#view.words, transcript.done?.duration);
    this.#search.refresh();
  }

  /** Show the whole text, and offer the downloads. */
  finish(transcript) {
    this.grow(transcript);
    this.#downloads = new Downloads(this.#file.name, transcript.done);
    this.element.append(this.#downloads.element);
    const isSilent = !transcript.segments.length;
    for (const part of [this.#tools, this.#view.element, this.#hint]) part.hidden = isSilent;
    const language = this.#languageOf(transcript.done);
    this.#view.element.lang = language;
    if (!isSilent) this.#player?.addSubtitles(vtt(transcript.done.cues), language);
  }

  /** Return the code of the language that was heard; a model of one language does not say it. */
  #languageOf(done) {
    return done.languages?.[0]?.code ?? this.#page.languages[0] ?? "";
  }

  /** Let go of the file and of all that was made of it. */
  close() {
    this.#view.clearMarks();
    this.#player?.close();
    this.#downloads?.close();
    this.element.remove();
  }

  #addPlayer(facts) {
    this.#player = new Player(this.#file, facts, this.#page.settings, {
      onTime: (time_s, isPlaying) => this.#view.hear(time_s, isPlaying),
      onUnplayable: () => {
        this.#player?.close();
        this.#player = null;
        this.#explainSilence();
      },
    });
    this.element.prepend(this.#player.element);
  }

  #explainSilence() {
    this.#hint.textContent = "This browser cannot play the file. Its text is as good as that of any other.";
    this.#view.element.classList.add("mute");
  }

  #groupings(id, chosen) {
    const choices = [["paragraphs", "Paragraphs"], ["segments", "Segments"]].map(([value, text]) => {
      const choice = element("input", { type: "radio", name: `${id}-view`, value, checked: value === chosen });
      choice.addEventListener("change", () => this.#regroup(value));
      return element("label", {}, choice, text);
    });
    return element("fieldset", { class: "groupings" }, element("legend", { class: "unseen" }, "Show the text as"), ...choices);
  }

  #regroup(grouping) {
    this.#page.settings.set("files-view", grouping);
    this.#view.regroup(grouping, this.#segments);
    this.#search.refresh();
  }

  #copy() {
    const copy = button("Copy", async () => {
      const isCopied = await copyText(this.#view.text);
      copy.textContent = isCopied ? "Copied" : "Not copied";
      this.#page.announce(copy.textContent);
      setTimeout(() => (copy.textContent = "Copy"), COPIED_MS);
    });
    copy.className = "quiet copy";
    return copy;
  }
}
