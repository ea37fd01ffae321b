import assert from "node:assert/strict";
import { test } from "node:test";

import { srt, vtt } from "../../../src/web/subtitles.js";

const CUES = [
  { start: 0.08, end: 2.5, text: "Salt & <b>pepper</b>,\nplease." },
  { start: 3661.0049999, end: 3662, text: "Yes." },
];

test("SubRip has numbers, commas and the text as it is", () => {
  const first = "1\n00:00:00,080 --> 00:00:02,500\nSalt & <b>pepper</b>,\nplease.\n\n";
  assert.equal(srt(CUES), `${first}2\n01:01:01,005 --> 01:01:02,000\nYes.\n\n`);
});

test("WebVTT has a head, points, and markup as text", () => {
  const first = "00:00:00.080 --> 00:00:02.500\nSalt &amp; &lt;b&gt;pepper&lt;/b&gt;,\nplease.\n\n";
  assert.equal(vtt(CUES), `WEBVTT\n\n${first}01:01:01.005 --> 01:01:02.000\nYes.\n\n`);
});

test("speakers are a voice in WebVTT, and a name before each cue of SubRip", () => {
  const cues = [{ start: 0, end: 1, text: "Yes,\nno.", speaker: "R&D -->" }];
  assert.equal(srt(cues), "1\n00:00:00,000 --> 00:00:01,000\nR&D ->: Yes,\nno.\n\n");
  assert.equal(vtt(cues), "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v R&amp;D -&gt;>Yes,\nno.\n\n");
});

test("without cues a file has no more than its head", () => {
  assert.deepEqual([srt([]), vtt([])], ["", "WEBVTT\n\n"]);
});
