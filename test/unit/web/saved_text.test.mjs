import assert from "node:assert/strict";
import { test } from "node:test";

import { fileTime } from "../../../src/web/clock_time.js";
import { plainText, timedText } from "../../../src/web/saved_text.js";

const at = new Date(2026, 10, 7, 9, 3, 5);

test("saved captions have the time of day before each line", () => {
  const lines = [{ at, text: " One two. " }, { at, text: "Three." }];
  assert.equal(timedText(lines), "09:03:05  One two.\n09:03:05  Three.\n");
  assert.equal(plainText(lines), "One two.\nThree.\n");
});

test("a file's name has a date and no sign that a system forbids", () => {
  assert.equal(fileTime(at), "2026-11-07 09.03");
});
