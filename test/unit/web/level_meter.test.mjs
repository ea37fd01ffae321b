import assert from "node:assert/strict";
import { test } from "node:test";

import { SilenceWatch, levelOf } from "../../../src/web/level_meter.js";

const tone = (peak) => Int16Array.from({ length: 1600 }, (_, index) => Math.round(peak * Math.sin(index / 5)));

test("the level goes from 0 for silence to nearly 1 for the loudest tone", () => {
  assert.equal(levelOf(new Int16Array(1600)), 0);
  assert.ok(levelOf(tone(32767)) > 0.9);
  const levels = [30, 300, 3000, 30000].map((peak) => levelOf(tone(peak)));
  assert.deepEqual([...levels].sort(), levels);
});

test("a source that gives nothing for some seconds is noticed, and words end that", () => {
  const watch = new SilenceWatch();
  const silence = new Int16Array(16_000);
  assert.deepEqual([1, 2, 3, 4].map(() => watch.isSilent(silence, 16_000)), [false, false, false, true]);
  assert.equal(watch.isSilent(tone(300), 16_000), false);
  assert.equal(watch.isSilent(silence, 16_000), false);
});
