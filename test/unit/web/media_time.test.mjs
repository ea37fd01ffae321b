import assert from "node:assert/strict";
import { test } from "node:test";

import { mediaTime, spokenTime } from "../../../src/web/media_time.js";

test("times are written as players write them", () => {
  assert.deepEqual([0, 7.9, 61, 3723, 36000, -1].map(mediaTime), ["0:00", "0:07", "1:01", "1:02:03", "10:00:00", "0:00"]);
});

test("times are spoken in words", () => {
  assert.deepEqual([0.4, 1, 62, 7203].map(spokenTime), ["0 seconds", "1 second", "1 minute 2 seconds", "2 hours 3 seconds"]);
});
