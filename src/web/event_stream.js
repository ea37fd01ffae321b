/** Server-sent events in a text that is still growing (html.spec.whatwg.org, "Server-sent events"). */

/**
 * Return the events that are complete, and where the first incomplete one begins.
 *
 * It takes the whole text so far, not what came last: an event, a character or a line end may be cut anywhere, and what
 * stands before a blank line is final.
 *
 * @param {string} text All of the answer so far.
 * @param {number} start Where to go on: `next` of the call before, 0 at first.
 * @returns {{events: object[], next: number}} The data of each event, parsed from JSON; an event without data, or with
 *   other data ("[DONE]"), is left out.
 */
export function completeEvents(text, start) {
  const blankLine = /\r?\n\r?\n/g;
  const events = [];
  let next = start;
  blankLine.lastIndex = start;
  for (let match = blankLine.exec(text); match; match = blankLine.exec(text)) {
    const event = parsed(dataOf(text.slice(next, match.index)));
    if (event) events.push(event);
    next = blankLine.lastIndex;
  }
  return { events, next };
}

/** Return the joined `data:` lines of an event; "" if it has none, as a comment that keeps the line alive. */
function dataOf(block) {
  const lines = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}

/** Return what JSON text stands for, or null if it is no JSON. */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
