import assert from "node:assert/strict";
import { test } from "node:test";

import { wordAt, wordAtPlace } from "../../../src/web/spoken_words.js";

const WORDS = [
  { start: 1, end: 1.5, block: 0, from: 0, to: 3 },
  { start: 1.6, end: 2, block: 0, from: 4, to: 9 },
  { start: 9, end: 9.5, block: 2, from: 1, to: 4 },
];

test("a word is heard from its start until the next begins, or shortly after its end", () => {
  assert.deepEqual([0.9, 1, 1.55, 1.6, 2.7, 2.9, 9.2, 11].map((time) => wordAt(WORDS, time)), [-1, 0, 0, 1, 1, -1, 2, -1]);
  assert.equal(wordAt([], 1), -1);
});

test("at a place stands the word that begins there or before, in the same block", () => {
  const at = (block, offset) => wordAtPlace(WORDS, block, offset);
  assert.deepEqual([at(0, 0), at(0, 3), at(0, 4), at(0, 99), at(1, 0), at(2, 0), at(2, 1)], [0, 0, 1, 1, -1, -1, 2]);
});
