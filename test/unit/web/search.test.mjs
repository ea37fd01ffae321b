import assert from "node:assert/strict";
import { test } from "node:test";

import { placesOf } from "../../../src/web/search.js";

const found = (text, query) => placesOf(text, query).map(({ from, to }) => text.slice(from, to));

test("case and the space around a query do not matter", () => {
  assert.deepEqual(found("The beach. THE sea, breathe", " the "), ["The", "THE", "the"]);
});

test("accents do not matter on either side, and places are those of the text", () => {
  assert.deepEqual(found("Caf\u00e9 cafe\u0301 CAFE \u{1f44b} caf\u00e9!", "cafe"), ["Caf\u00e9", "cafe\u0301", "CAFE", "caf\u00e9"].map((each) => each));
  assert.deepEqual(found("cafe", "caf\u00e9"), ["cafe"]);
});

test("letters that grow in lower case keep the places after them", () => {
  assert.deepEqual(found("\u0130stanbul and istanbul", "istanbul"), ["\u0130stanbul", "istanbul"]);
});

test("apostrophes and spaces of any kind are equal", () => {
  assert.deepEqual(found("it\u2019s\u00a0so", "it's so"), ["it\u2019s\u00a0so"]);
});

test("an empty query finds nothing, and signs of patterns are text", () => {
  assert.deepEqual(found("a.b", ""), []);
  assert.deepEqual(found("a.b axb", "a.b"), ["a.b"]);
});
