/** Paragraphs: segments that belong together, divided where the speaker pauses, and where another one speaks. */

/** A pause that always ends a paragraph, in seconds. Fluent speech has none so long. */
const LONG_PAUSE_S = 2;
/** A pause that ends a paragraph which is long enough to be one. */
const PAUSE_S = 0.7;
const ENOUGH_CHARACTERS = 400;
/** Characters after which a paragraph ends with its sentence, pause or not: a screen full of text without a break tires. */
const MANY_CHARACTERS = 900;
const MOST_CHARACTERS = 1600;
/** The end of a sentence, in Greek also a semicolon, with the quotation marks of all languages behind it. */
const SENTENCE_END = /(?:[.?!\u2026\u037e]|\p{Script=Greek};)["'\u2018-\u201f\u00ab\u00bb\u2039\u203a)\]\s]*$/u;

/**
 * Return whether a segment goes on with the paragraph before it. It needs only what came before, so that a paragraph
 * stays as it is while the text grows.
 *
 * @param {{length: number, end: number, text: string, speaker: string}} paragraph Its characters, the end of its last
 *   segment in seconds, the text of that segment, and who says it.
 * @param {{start: number, speaker: string}} segment
 */
export function goesOn({ length, end, text, speaker }, segment) {
  if (segment.speaker !== speaker) return false;
  const pause = segment.start - end;
  if (pause >= LONG_PAUSE_S || length >= MOST_CHARACTERS) return false;
  if (!SENTENCE_END.test(text)) return true;
  return length < ENOUGH_CHARACTERS || (length < MANY_CHARACTERS && pause < PAUSE_S);
}
