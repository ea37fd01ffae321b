/** Search in a text: without regard to case, accents, and which kind of apostrophe is written. */

/**
 * Return the places of `query` in `text`, in order and without overlaps.
 *
 * @param {string} text
 * @param {string} query
 * @returns {{from: number, to: number}[]} Places in `text` as it is.
 */
export function placesOf(text, query) {
  const sought = folded(query.trim()).text;
  if (!sought) return [];
  const { text: searched, origins } = folded(text);
  const places = [];
  for (let at = searched.indexOf(sought); at >= 0; at = searched.indexOf(sought, at + sought.length)) {
    const last = at + sought.length;
    places.push({ from: origins ? origins[at] : at, to: origins ? origins[last] : last });
  }
  return places;
}

/** Return a text to compare, and for each of its characters, and its end, the place in `text`; null if all are the same. */
function folded(text) {
  // Text that is only ASCII, as most is, keeps its places.
  if (/^[\x20-\x7e]*$/.test(text)) return { text: text.toLowerCase(), origins: null };
  let result = "";
  const origins = [];
  let place = 0;
  for (const character of text) {
    const plain = fold(character);
    for (let index = 0; index < plain.length; index++) origins.push(place);
    result += plain;
    place += character.length;
  }
  origins.push(text.length);
  return { text: result, origins };
}

function fold(character) {
  if (character <= "\x7e") return character.toLowerCase();
  if (/\s/u.test(character)) return " ";
  if (character === "\u2019" || character === "\u2018") return "'";
  return character.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
}
