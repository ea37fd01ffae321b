import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { StateLine } from "../../../src/web/state_line.js";

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
});

test("a mention stays for a moment, whatever the page does, and then the present state returns", () => {
  const element = { textContent: "" };
  const line = new StateLine(element);
  line.say("Listening.");
  line.mention("Copied.");
  line.say("Listening.");
  line.say("Connection lost.");
  mock.timers.tick(3_999);
  assert.equal(element.textContent, "Copied.");
  mock.timers.tick(1);
  assert.equal(element.textContent, "Connection lost.");
});

test("a second mention has its own time", () => {
  const element = { textContent: "" };
  const line = new StateLine(element);
  line.mention("Copied.");
  mock.timers.tick(3_000);
  line.mention("Saved.");
  mock.timers.tick(3_000);
  assert.equal(element.textContent, "Saved.");
  mock.timers.tick(1_000);
  assert.equal(element.textContent, "");
});
