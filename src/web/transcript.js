/** The transcript of a file while its events arrive: segments with the places of their words, and the text after them. */

/**
 * @typedef {{start: number, end: number, from: number, to: number}} PlacedWord
 *   A word: seconds from the start of the file, and its place in the text of its segment.
 * @typedef {{start: number, end: number, text: string, speaker: string, words: PlacedWord[]}} TimedSegment
 *   A sentence, or the words between two pauses. `text` has its punctuation and no space around it. `speaker` is empty
 *   unless speakers were asked for.
 */

export class Transcript {
  constructor() {
    /** @type {TimedSegment[]} */
    this.segments = [];
    /** The last event, or null while the text grows. */
    this.done = null;
    this.#text = "";
    this.#covered = 0;
  }

  #text;
  #covered;

  /** Takes a `transcript.text.delta`, `.segment` or `.done` event; others are for newer pages and change nothing. */
  apply(event) {
    if (event.type === "transcript.text.delta") this.#text += event.delta;
    if (event.type === "transcript.text.segment") this.#add(timedSegment(event, event.words ?? []));
    if (event.type === "transcript.text.done") this.#finish(event);
  }

  /** All of the text so far. */
  get text() {
    return this.#text;
  }

  /** The text that has no segment yet: it has come, but its sentence may go on. */
  get tail() {
    return this.done ? "" : this.#text.slice(this.#covered);
  }

  /** Seconds of the file whose text is there. */
  get end_s() {
    return this.segments.at(-1)?.end ?? 0;
  }

  get wordCount() {
    return this.segments.reduce((count, segment) => count + segment.words.length, 0);
  }

  #add(segment) {
    this.segments.push(segment);
    // Segments are joined by a space, which also stands before a delta.
    this.#covered += segment.text.length + (this.segments.length > 1 ? 1 : 0);
  }

  #finish(done) {
    this.#text = done.text;
    this.done = done;
    if (this.segments.length === (done.segments?.length ?? 0)) return;
    this.segments = []; // segment events were lost or never sent
    const words = [...(done.words ?? [])];
    for (const segment of done.segments ?? []) {
      const following = words.findIndex((word) => word.start >= segment.end);
      this.#add(timedSegment(segment, words.splice(0, following < 0 ? words.length : following)));
    }
  }
}

/** Return a segment of the service with its words found in its text. */
function timedSegment({ start, end, text, speaker = "" }, words) {
  const trimmed = text.trim();
  return { start, end, text: trimmed, speaker, words: placedWords(trimmed, words) };
}

/**
 * Return the words that stand in `text`, in order, with their places. The service's words have no punctuation around
 * them, the text has.
 *
 * @param {string} text
 * @param {{word: string, start: number, end: number}[]} words
 * @returns {PlacedWord[]}
 */
export function placedWords(text, words) {
  const placed = [];
  let place = 0;
  for (const { word, start, end } of words) {
    const from = text.indexOf(word, place);
    if (from < 0 || !word) continue;
    place = from + word.length;
    placed.push({ start, end, from, to: place });
  }
  return placed;
}
