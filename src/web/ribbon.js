/** The ribbon of words: a file's speech as a picture in place of its waveform, for which it would have to be decoded. */

/**
 * Return the outline of the ribbon as an SVG path: a bar for each column in which words are spoken, as tall as the
 * speech there is dense.
 *
 * @param {{start: number, end: number, from: number, to: number}[]} words
 * @param {number} duration_s Length of the file.
 * @param {number} columns
 * @param {number} height Of the picture; bars grow from its middle.
 */
export function ribbonPath(words, duration_s, columns, height) {
  return densities(words, duration_s, columns)
    .map((density, column) => (density > 0 ? bar(column, Math.max(0.12, density) * height, height) : ""))
    .join("");
}

/** Return for each column the characters spoken a second, as a share of the most. */
function densities(words, duration_s, columns) {
  const characters = new Float64Array(columns);
  const perColumn_s = duration_s / columns;
  for (const word of words) {
    const first = word.start / perColumn_s;
    const last = Math.max(first + 0.2, word.end / perColumn_s);
    const density = (word.to - word.from + 1) / (last - first);
    for (let column = Math.floor(first); column < Math.min(last, columns); column++) {
      characters[column] += density * (Math.min(last, column + 1) - Math.max(first, column));
    }
  }
  const most = characters.reduce((most, each) => Math.max(most, each), 0);
  return Array.from(characters, (each) => each / most || 0);
}

/** A bar of two thirds of its column, as tall as `size`. */
function bar(column, size, height) {
  const top = ((height - size) / 2).toFixed(1);
  return `M${column} ${top}h.66v${size.toFixed(1)}h-.66z`;
}
