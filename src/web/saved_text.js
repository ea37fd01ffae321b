/** Captions as a text to keep. */

import { clockTime } from "./clock_time.js";

/** Return a line for each caption: its time of day and its text. @param {{at: Date, text: string}[]} lines */
export function timedText(lines) {
  return lines.map(({ at, text }) => `${clockTime(at)}  ${text.trim()}\n`).join("");
}

/** Return the texts alone, a line each. @param {{text: string}[]} lines */
export function plainText(lines) {
  return lines.map(({ text }) => `${text.trim()}\n`).join("");
}

/** Have the browser save a text as a file. */
export function saveFile(document, name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
