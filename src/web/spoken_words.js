/** The words of a transcript in a row: which is heard at a time, and which stands at a place. */

/** Seconds for which a word counts as heard after its end, unless the next begins before. */
const ECHO_S = 0.8;

/**
 * Return the index of the word that is heard at a time, or -1.
 *
 * @param {{start: number, end: number}[]} words In order; times in seconds.
 * @param {number} time_s
 */
export function wordAt(words, time_s) {
  const index = lastWhere(words, (word) => word.start <= time_s);
  return index >= 0 && time_s <= words[index].end + ECHO_S ? index : -1;
}

/**
 * Return the index of the word that stands at a place or is the last before it, or -1.
 *
 * @param {{block: number, from: number}[]} words In order; a place is a block of text and an offset in it.
 * @param {number} block
 * @param {number} offset
 */
export function wordAtPlace(words, block, offset) {
  const isBefore = (word) => word.block < block || (word.block === block && word.from <= offset);
  const index = lastWhere(words, isBefore);
  return index >= 0 && words[index].block === block ? index : -1;
}

/** Return the last index at which `holds`, which holds for all before it; -1 if for none. */
function lastWhere(items, holds) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(items[middle])) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
