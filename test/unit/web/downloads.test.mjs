import assert from "node:assert/strict";
import { test } from "node:test";

import { savedFiles, savedName } from "../../../src/web/downloads.js";

const DONE = { text: "Yes.", language: "english", duration: 2, segments: [], words: [], cues: [{ start: 0, end: 1, text: "Yes." }] };

test("four files are made of one answer", () => {
  const saved = Object.fromEntries(savedFiles(DONE).map(({ name, content }) => [name, content]));
  assert.deepEqual(Object.keys(saved), ["Text", "SRT", "VTT", "JSON"]);
  assert.equal(saved.Text, "Yes.\n");
  assert.equal(saved.SRT, "1\n00:00:00,000 --> 00:00:01,000\nYes.\n\n");
  assert.equal(saved.VTT, "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nYes.\n\n");
  assert.equal(JSON.parse(saved.JSON).usage.seconds, 2);
});

test("a saved file is named after its source", () => {
  const names = ["talk.mp3", "a.b.mp4", ".hidden", "talk", ""].map((name) => savedName(name, "srt"));
  assert.deepEqual(names, ["talk.srt", "a.b.srt", ".hidden.srt", "talk.srt", "transcript.srt"]);
});
