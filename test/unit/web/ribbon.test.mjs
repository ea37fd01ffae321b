import assert from "node:assert/strict";
import { test } from "node:test";

import { ribbonPath } from "../../../src/web/ribbon.js";

const word = (start, end, length = 5) => ({ start, end, from: 0, to: length });
const columnsOf = (path) => [...path.matchAll(/M(\d+) /g)].map((match) => Number(match[1]));

test("bars stand where words are spoken", () => {
  assert.deepEqual(columnsOf(ribbonPath([word(0, 1), word(5, 6.5)], 10, 10, 20)), [0, 5, 6]);
});

test("denser speech is taller, and the densest fills the height", () => {
  const path = ribbonPath([word(0, 1, 2), word(1, 2, 11)], 4, 4, 20);
  assert.match(path, /^M0 7\.5h\.66v5\.0h-\.66zM1 0\.0h\.66v20\.0h-\.66z$/);
});

test("no words, no bars; words past the end or without a length are no fault", () => {
  assert.equal(ribbonPath([], 10, 10, 20), "");
  assert.deepEqual(columnsOf(ribbonPath([word(3, 3), word(9.9, 12)], 10, 10, 20)), [3, 9]);
  assert.doesNotMatch(ribbonPath([word(0, 1)], 1, 10, 20), /NaN|Infinity/);
});
