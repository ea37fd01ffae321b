import assert from "node:assert/strict";
import { test } from "node:test";

import { goesOn } from "../../../src/web/paragraphs.js";

const after = (length, text, pause) => goesOn({ length, end: 10, text }, { start: 10 + pause });

test("what another one says is a paragraph of its own", () => {
  const paragraph = { length: 20, end: 10, text: "and then", speaker: "A" };
  assert.equal(goesOn(paragraph, { start: 10, speaker: "A" }), true);
  assert.equal(goesOn(paragraph, { start: 10, speaker: "B" }), false);
});

test("a long pause ends any paragraph", () => {
  assert.equal(after(20, "and then", 2.5), false);
});

test("a short paragraph goes on after a short pause", () => {
  assert.equal(after(100, "It is.", 1), true);
});

test("a paragraph of some length ends at a pause after a sentence", () => {
  assert.equal(after(500, "It is.", 0.8), false);
  assert.equal(after(500, "\u201cIt is.\u201d", 0.8), false);
  for (const end of ["\u201eJa.\u201c", "\u00bbNein!\u00ab", "\u00ab Oui. \u00bb", "Τι είναι;", "Τι;\u00bb", "Ναι\u037e", "pò.\u2019"]) {
    assert.equal(after(500, end, 0.8), false, end);
  }
  assert.equal(after(500, "It is;", 0.8), true);
  assert.equal(after(500, "It is.", 0.3), true);
  assert.equal(after(500, "and then", 0.8), true);
});

test("a long paragraph ends with its sentence, and the longest wherever it is", () => {
  assert.equal(after(1000, "It is.", 0), false);
  assert.equal(after(1000, "and then", 0), true);
  assert.equal(after(1700, "and then", 0), false);
});
