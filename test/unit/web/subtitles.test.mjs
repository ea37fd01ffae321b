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

test("without cues a file has no more than its head", () => {
  assert.deepEqual([srt([]), vtt([])], ["", "WEBVTT\n\n"]);
});
