import assert from "node:assert/strict";
import { test } from "node:test";

import { AudioTape } from "../../../src/web/audio_tape.js";

function tapeOf(...lengths) {
  const tape = new AudioTape(10, 1);
  let next = 0;
  for (const length of lengths) tape.append(Int16Array.from({ length }, () => next++));
  return tape;
}

const samples = (tape, from) => [...tape.from(from)].flatMap((piece) => [...piece]);

test("audio can be read from any sample on", () => {
  const tape = tapeOf(3, 3, 2);
  assert.deepEqual(samples(tape, 0), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(samples(tape, 4), [4, 5, 6, 7]);
  assert.deepEqual(samples(tape, 8), []);
});

test("the oldest audio goes when the tape is full, by whole pieces", () => {
  const tape = tapeOf(4, 4, 4, 4);
  assert.deepEqual([tape.start, tape.end], [4, 16]);
  assert.deepEqual(samples(tape, 0), [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
});

test("audio that is needed no more can be dropped", () => {
  const tape = tapeOf(3, 3);
  tape.dropBefore(5);
  assert.deepEqual([tape.start, tape.end], [3, 6]);
  tape.dropBefore(6);
  assert.deepEqual([tape.start, tape.end, samples(tape, 0)], [6, 6, []]);
});

test("a sample has the time when it was recorded, as long as it is kept", () => {
  let now = 0;
  const tape = new AudioTape(10, 2, () => now);
  for (now of [1000, 2000, 9000]) tape.append(new Int16Array(10)); // nothing was recorded from 2 s to 8 s
  assert.deepEqual([10, 15, 20, 25, 30].map((sample) => tape.timeOf(sample).getTime()), [1000, 1500, 2000, 8500, 9000]);
});
