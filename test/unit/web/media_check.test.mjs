import assert from "node:assert/strict";
import { test } from "node:test";

import { fileSize, refusalOf } from "../../../src/web/media_check.js";

const LIMITS = { maxAudioSeconds: 600, maxUploadMb: 64 };
const MB = 1024 * 1024;

test("what the service takes is not refused, also where the length is unknown", () => {
  assert.equal(refusalOf({ size: 60 * MB, duration: 600.5 }, LIMITS), null);
  assert.equal(refusalOf({ size: 60 * MB, duration: null }, LIMITS), null);
});

test("a refusal names the setting", () => {
  const long = refusalOf({ size: MB, duration: 7500 }, LIMITS);
  assert.match(long.sentence, /2:05:00 long.* 10:00/);
  assert.match(long.remedy, /PARAKEET_MAX_AUDIO_SECONDS/);
  const large = refusalOf({ size: 64 * MB, duration: null }, LIMITS); // the form adds to it
  assert.match(large.sentence, /64 MB/);
  assert.match(large.remedy, /PARAKEET_MAX_UPLOAD_MB/);
  assert.match(refusalOf({ size: 0, duration: null }, LIMITS).sentence, /empty/);
});

test("without limits nothing but an empty file is refused", () => {
  assert.equal(refusalOf({ size: 1e12, duration: 1e6 }, { maxAudioSeconds: Infinity, maxUploadMb: Infinity }), null);
});

test("sizes are short", () => {
  assert.deepEqual([0, 500, 20_000, 999_000, 3.4 * MB, 2 * MB, 812 * MB].map(fileSize), ["0.1 kB", "0.5 kB", "20 kB", "976 kB", "3.4 MB", "2 MB", "812 MB"]);
});
