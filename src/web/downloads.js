/** The four files that a transcript can be saved as, each as the service writes it in that response format. */

import { element } from "./element.js";
import { srt, vtt } from "./subtitles.js";
import { verboseJson } from "./verbose_json.js";

/**
 * Return name, suffix, media type and content of each file. With speakers, the text has a line for each turn, `A: Yes.`
 *
 * @param {object} done The event `transcript.text.done`.
 */
export function savedFiles(done) {
  return [
    { name: "Text", suffix: "txt", type: "text/plain", content: `${plainText(done)}\n` },
    { name: "SRT", suffix: "srt", type: "application/x-subrip", content: srt(done.cues) },
    { name: "VTT", suffix: "vtt", type: "text/vtt", content: vtt(done.cues) },
    { name: "JSON", suffix: "json", type: "application/json", content: verboseJson(done) },
  ];
}

function plainText({ text, segments }) {
  if (!segments?.[0]?.speaker) return text;
  const turns = [];
  for (const { speaker, text } of segments) {
    if (turns.at(-1)?.speaker === speaker) turns.at(-1).text += text;
    else turns.push({ speaker, text });
  }
  return turns.map((turn) => `${turn.speaker}:${turn.text}`).join("\n"); // the text begins with a space
}

/** Return the name of a file made from another: "talk.mp3" gives "talk.srt". */
export function savedName(name, suffix) {
  return `${name.replace(/(?<=.)\.[^.]*$/, "") || "transcript"}.${suffix}`;
}

/** Links to the four files. The browser holds what they link to until `close`. */
export class Downloads {
  #addresses = [];

  /**
   * @param {string} fileName
   * @param {object} done See `savedFiles`.
   */
  constructor(fileName, done) {
    const links = savedFiles(done).map((saved) => this.#link(fileName, saved));
    this.element = element("p", { class: "downloads" }, element("span", {}, "Download"), ...links);
  }

  close() {
    for (const address of this.#addresses) URL.revokeObjectURL(address);
    this.element.remove();
  }

  #link(fileName, { name, suffix, type, content }) {
    const address = URL.createObjectURL(new Blob([content], { type: `${type};charset=utf-8` }));
    this.#addresses.push(address);
    return element("a", { href: address, download: savedName(fileName, suffix) }, name);
  }
}
