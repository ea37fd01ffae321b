import assert from "node:assert/strict";
import { test } from "node:test";

import { placedWords, Transcript } from "../../../src/web/transcript.js";

const words = (...timed) => timed.map(([word, start, end]) => ({ word, start, end }));
const delta = (text) => ({ type: "transcript.text.delta", delta: text });
const FIRST = words(["The", 0, 0.2], ["beach", 0.3, 0.8]);
const SECOND = words(["Yes", 1.5, 1.9]);
const segment = (start, end, text, words) => ({ type: "transcript.text.segment", start, end, text, words });

test("what has no segment yet is the tail", () => {
  const transcript = new Transcript();
  transcript.apply(delta("The beach. Yes"));
  assert.equal(transcript.tail, "The beach. Yes");
  transcript.apply(segment(0, 0.8, " The beach.", FIRST));
  assert.equal(transcript.tail, " Yes");
  transcript.apply(delta(", sir."));
  transcript.apply(segment(1.5, 1.9, " Yes, sir.", SECOND));
  assert.equal(transcript.tail, "");
  assert.equal(transcript.end_s, 1.9);
  assert.equal(transcript.wordCount, 3);
});

test("segments that came stay the same objects when the stream ends", () => {
  const transcript = new Transcript();
  transcript.apply(segment(0, 0.8, " The beach.", FIRST));
  const before = transcript.segments[0];
  transcript.apply({ type: "transcript.text.done", text: "The beach.", segments: [{}], words: FIRST });
  assert.equal(transcript.segments[0], before);
  assert.equal(transcript.text, "The beach.");
});

test("a stream without segment events has its segments in the last event", () => {
  const transcript = new Transcript();
  const segments = [
    { start: 0, end: 0.8, text: " The beach." },
    { start: 1.5, end: 1.9, text: " Yes." },
  ];
  transcript.apply({ type: "transcript.text.done", text: "The beach. Yes.", segments, words: [...FIRST, ...SECOND] });
  assert.deepEqual(
    transcript.segments.map(({ text, words }) => [text, words.length]),
    [["The beach.", 2], ["Yes.", 1]],
  );
});

test("silence has no segments and no tail", () => {
  const transcript = new Transcript();
  transcript.apply({ type: "transcript.text.done", text: "", segments: [], words: [] });
  assert.deepEqual([transcript.segments, transcript.tail, transcript.end_s], [[], "", 0]);
});

test("events that the page does not know change nothing", () => {
  const transcript = new Transcript();
  transcript.apply({ type: "transcript.text.new" });
  assert.equal(transcript.text, "");
});

test("words are found in order, with the marks around them left out", () => {
  const text = "\u201cNo, no!\u201d \u2014 o'clock; 29.43";
  const placed = placedWords(text, words(["No", 0, 1], ["no", 1, 2], ["o'clock", 2, 3], ["29.43", 3, 4]));
  assert.deepEqual(
    placed.map(({ from, to }) => text.slice(from, to)),
    ["No", "no", "o'clock", "29.43"],
  );
});

test("a word that its text does not have is left out", () => {
  assert.deepEqual(placedWords("a b", words(["a", 0, 1], ["x", 1, 2], ["", 1, 2], ["b", 2, 3])), [
    { start: 0, end: 1, from: 0, to: 1 },
    { start: 2, end: 3, from: 2, to: 3 },
  ]);
});
