/**
 * What the page makes of a stream: for each line of its input, a server-sent answer as a JSON string, it prints the
 * content of the four files by name, the texts of the segments, and the words as they stand in the text.
 */
import { createInterface } from "node:readline";

import { savedFiles } from "../../../src/web/downloads.js";
import { Transcript } from "../../../src/web/transcript.js";
import { Answer } from "../../../src/web/upload.js";

function made(stream) {
  const transcript = new Transcript();
  new Answer((events) => events.forEach((event) => transcript.apply(event))).outcome(stream);
  const files = Object.fromEntries(savedFiles(transcript.done).map(({ name, content }) => [name, content]));
  const words = transcript.segments.flatMap(({ text, words }) => words.map(({ from, to }) => text.slice(from, to)));
  return { files, words, segments: transcript.segments.map(({ text }) => text) };
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(made(JSON.parse(line))));
