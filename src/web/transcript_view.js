/**
 * A transcript on the page: blocks of one plain text node each, whose words are known by their offsets.
 *
 * Hours of speech have 30,000 words. An element for each takes seven times as long to build and to mark as text nodes
 * with highlights do, so there is none, and blocks outside the view are not laid out (`content-visibility`).
 */

import { element, button } from "./element.js";
import { mediaTime, spokenTime } from "./media_time.js";
import { goesOn } from "./paragraphs.js";
import { placesOf } from "./search.js";
import { wordAt, wordAtPlace } from "./spoken_words.js";
import { TextMark } from "./text_mark.js";

/** Milliseconds after the reader has scrolled in which the text does not follow the sound. */
const READING_MS = 5000;
/** Characters in a line of text and its height, about, as files.css has them on a wide screen. */
const LINE_CHARACTERS = 75;
const LINE_REM = 1.6;
/** Blocks from which on those out of view are not laid out. The text of those is not in `innerText`. */
const MANY_BLOCKS = 100;

export class TranscriptView {
  #blocks = [];
  #words = [];
  #shown = 0; // segments
  #grouping;
  #heard = -1;
  #cursor = -1;
  #scrolledAt = -Infinity;
  #onPlay;
  #announce;

  /**
   * @param {string} label Accessible name.
   * @param {string} hintId The id of the element that says how the keyboard works here.
   * @param {"paragraphs" | "segments"} grouping
   * @param {{onPlay: (time_s: number | null) => void, announce: (text: string) => void}} calls `onPlay` gets the time
   *   of a word that was chosen, or null to play or pause where the sound is.
   */
  constructor(label, hintId, grouping, { onPlay, announce }) {
    this.#grouping = grouping;
    this.#onPlay = onPlay;
    this.#announce = announce;
    this.#tail = element("p", { class: "tail", dir: "auto" });
    this.#layer = element("div", { class: "transcript-text" }, this.#tail);
    const attributes = { class: "transcript", role: "group", tabindex: "0", "aria-label": label };
    this.element = element("div", { ...attributes, "aria-describedby": hintId }, this.#layer);
    this.#hitsMark = new TextMark("hits", 0, this.#layer);
    this.#hitMark = new TextMark("hit", 1, this.#layer);
    this.#cursorMark = new TextMark("cursor", 2, this.#layer);
    this.#heardMark = new TextMark("heard", 3, this.#layer);
    this.#listen();
  }

  #tail;
  #layer;
  #heardMark;
  #cursorMark;
  #hitsMark;
  #hitMark;

  /** Show segments that have come, `segments` being all so far, and the text after them. */
  show(segments, tail) {
    for (; this.#shown < segments.length; this.#shown++) this.#add(segments[this.#shown]);
    this.#tail.textContent = tail;
    this.#tail.hidden = !tail;
  }

  /** Show all segments anew in another grouping. */
  regroup(grouping, segments) {
    this.clearMarks();
    for (const block of this.#blocks) block.element.remove();
    this.#grouping = grouping;
    this.#blocks = [];
    this.#words = [];
    this.#shown = 0;
    this.show(segments, this.#tail.textContent);
  }

  get words() {
    return this.#words;
  }

  /** The text as it is shown: paragraphs with a blank line between them, or a line with its time for each segment. */
  get text() {
    const said = ({ speaker, node }) => (speaker ? `${speaker}: ${node.data}` : node.data);
    if (this.#grouping === "paragraphs") return this.#blocks.map(said).join("\n\n");
    return this.#blocks.map((block) => `${mediaTime(block.start)}  ${said(block)}`).join("\n");
  }

  /** Mark the word that is heard at a time, and scroll to it unless the reader has scrolled a moment ago. */
  hear(time_s, isPlaying) {
    const index = wordAt(this.#words, time_s);
    if (index === this.#heard) return;
    this.#heard = index;
    if (index < 0) return this.#heardMark.clear();
    this.#heardMark.show([this.#rangeOf(this.#words[index])]);
    if (isPlaying && performance.now() - this.#scrolledAt > READING_MS) this.#reveal(this.#words[index]);
  }

  /** Mark what a query finds, and return how many places there are. */
  search(query) {
    this.#hits = this.#blocks.flatMap((block, index) =>
      placesOf(block.node.data, query).map((place) => ({ ...place, block: index })),
    );
    this.#hitsMark.show(this.#hits.map((hit) => this.#staticRangeOf(hit)));
    this.#hitMark.clear();
    return this.#hits.length;
  }

  #hits = [];

  /** Mark and scroll to one of the places that `search` has found. */
  showHit(index) {
    const hit = this.#hits[index];
    this.#scrolledAt = performance.now();
    this.#reveal(hit);
    this.#hitMark.show([this.#rangeOf(hit)]);
  }

  clearMarks() {
    for (const mark of [this.#heardMark, this.#cursorMark, this.#hitsMark, this.#hitMark]) mark.clear();
    this.#hits = [];
    this.#heard = this.#cursor = -1;
  }

  #add(segment) {
    const last = this.#blocks.at(-1);
    const joins = last && this.#grouping === "paragraphs" && goesOn(last, segment);
    const block = joins ? last : this.#newBlock(segment);
    const offset = joins ? block.length + 1 : 0;
    block.node.appendData(joins ? ` ${segment.text}` : segment.text);
    block.length = offset + segment.text.length;
    block.end = segment.end;
    block.text = segment.text;
    block.starts.push(this.#words.length);
    // What a block that is not laid out is taken to need: nothing jumps when it comes into view.
    block.element.style.containIntrinsicBlockSize = `auto ${Math.ceil(block.length / LINE_CHARACTERS) * LINE_REM + 0.75}rem`;
    const number = this.#blocks.length - 1;
    for (const { start, end, from, to } of segment.words) {
      this.#words.push({ start, end, from: offset + from, to: offset + to, block: number });
    }
  }

  /** `starts` has the index of the first word of each segment in it. */
  #newBlock({ start, speaker }) {
    const node = document.createTextNode("");
    const label = `${mediaTime(start)}, play from ${spokenTime(start)}`; // it begins with what is to be seen
    const time = button(mediaTime(start), () => this.#onPlay(start), { class: "time", tabindex: "-1", "aria-label": label });
    const text = element("p", { dir: "auto" }, node);
    const who = speaker ? [element("span", { class: "speaker", dir: "auto" }, speaker)] : [];
    const line = element("div", { class: "block" }, time, element("div", {}, ...who, text));
    const block = { element: line, node, start, speaker, length: 0, end: start, text: "", starts: [] };
    this.#blocks.push(block);
    this.#layer.classList.toggle("long", this.#blocks.length >= MANY_BLOCKS);
    this.#tail.before(block.element);
    return block;
  }

  #rangeOf({ block, from, to }) {
    const range = new Range();
    range.setStart(this.#blocks[block].node, from);
    range.setEnd(this.#blocks[block].node, to);
    return range;
  }

  /** A range that costs nothing when the text changes. */
  #staticRangeOf({ block, from, to }) {
    const { node } = this.#blocks[block];
    return new StaticRange({ startContainer: node, startOffset: from, endContainer: node, endOffset: to });
  }

  /** Scroll the transcript, and only it, until a place is well inside the part of it that is on the screen. */
  #reveal(place) {
    const range = this.#rangeOf(place);
    for (let attempt = 0; attempt < 2; attempt++) { // blocks that come into view get their true height
      const word = range.getBoundingClientRect();
      const { top, bottom } = this.#visiblePart();
      if (word.top >= top + 8 && word.bottom <= bottom - word.height) return;
      this.element.scrollTop += word.top - top - (bottom - top) / 3;
    }
  }

  /** The part of the transcript that is on the screen, or all of it if hardly any is. */
  #visiblePart() {
    const { top, bottom } = this.element.getBoundingClientRect();
    const [first, last] = [Math.max(top, 0), Math.min(bottom, innerHeight)];
    return last - first > 120 ? { top: first, bottom: last } : { top, bottom };
  }

  #listen() {
    const scrolled = () => (this.#scrolledAt = performance.now());
    for (const kind of ["wheel", "touchmove", "pointerdown"]) {
      this.element.addEventListener(kind, scrolled, { passive: true });
    }
    this.#layer.addEventListener("click", (event) => this.#clicked(event));
    this.element.addEventListener("keydown", (event) => this.#pressed(event));
    this.element.addEventListener("blur", () => this.#cursorMark.clear());
  }

  /** Play from the word that was clicked, unless the click ended a selection or hit no word. */
  #clicked(event) {
    if (!getSelection().isCollapsed) return;
    const [node, offset] = caretAt(event.clientX, event.clientY);
    const block = this.#blocks.findIndex((each) => each.node === node);
    const index = block < 0 ? -1 : wordAtPlace(this.#words, block, offset);
    for (const near of [index, index + 1]) {
      const word = this.#words[near];
      if (word && word.block === block && isWithin(this.#rangeOf(word), event)) return this.#play(near);
    }
  }

  #play(index) {
    this.#cursor = index;
    this.#scrolledAt = -Infinity;
    this.#onPlay(this.#words[index].start);
  }

  #pressed(event) {
    if (event.target !== this.element || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === " ") this.#onPlay(null);
    else if (event.key === "Enter") this.#play(Math.max(0, this.#cursor >= 0 ? this.#cursor : this.#heard));
    else if (!this.#moveCursor(event.key)) return;
    event.preventDefault();
  }

  /** Move the cursor by a word, or up and down by a segment. Return whether the key does that. */
  #moveCursor(key) {
    const from = this.#cursor >= 0 ? this.#cursor : Math.max(0, this.#heard);
    const to = this.#destination(key, this.#cursor < 0, from);
    if (to === null || !this.#words.length) return false;
    this.#cursor = Math.min(Math.max(0, to), this.#words.length - 1);
    const word = this.#words[this.#cursor];
    this.#scrolledAt = performance.now();
    this.#reveal(word);
    this.#cursorMark.show([this.#rangeOf(word)]);
    const said = this.#blocks[word.block].node.data.slice(word.from, word.to);
    this.#announce(`${said}, ${spokenTime(word.start)}`);
    return true;
  }

  /** The index of the word that a key goes to; a first key stays at `from`. Null: the key does not move. */
  #destination(key, isFirst, from) {
    const starts = () => this.#blocks.flatMap((block) => block.starts);
    switch (key) {
      case "ArrowRight":
        return isFirst ? from : from + 1;
      case "ArrowLeft":
        return isFirst ? from : from - 1;
      case "ArrowDown":
        return isFirst ? from : (starts().find((start) => start > from) ?? from);
      case "ArrowUp":
        return isFirst ? from : (starts().findLast((start) => start < from) ?? 0);
      case "Home":
        return 0;
      case "End":
        return this.#words.length - 1;
      default:
        return null;
    }
  }
}

/** Return the text node and offset at a point of the window. */
function caretAt(x, y) {
  if (document.caretPositionFromPoint) {
    const position = document.caretPositionFromPoint(x, y);
    return [position?.offsetNode, position?.offset];
  }
  const range = document.caretRangeFromPoint?.(x, y); // Safari
  return [range?.startContainer, range?.startOffset];
}

/** Whether a click is on a range, or a hair beside it. */
function isWithin(range, { clientX, clientY }) {
  return [...range.getClientRects()].some(
    ({ left, right, top, bottom }) => clientX >= left - 4 && clientX <= right + 4 && clientY >= top - 4 && clientY <= bottom + 4,
  );
}
