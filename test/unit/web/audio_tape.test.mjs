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
