import assert from "node:assert/strict";
import { test } from "node:test";

import { Settings } from "../../../src/web/settings.js";

/** A stand-in for localStorage. */
function memory(entries = {}) {
  const kept = new Map(Object.entries(entries));
  return { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value) };
}

test("settings outlive the page", () => {
  const storage = memory();
  new Settings(storage).set("pause", "1000");
  assert.equal(new Settings(storage).get("pause", "500"), "1000");
  assert.equal(new Settings(storage).get("language", ""), "");
});

test("what another version has kept in another form counts as unset", () => {
  const settings = new Settings(memory({ "parakeet.awake": '"yes"', "parakeet.pause": "{broken" }));
  assert.equal(settings.get("awake", true), true);
  assert.equal(settings.get("pause", "500"), "500");
});

test("where the browser keeps nothing, settings last as long as the page", () => {
  const refusing = { getItem: () => assert.fail(), setItem: () => assert.fail() };
  for (const storage of [null, refusing]) {
    const settings = new Settings(storage);
    settings.set("pause", "1000");
    assert.equal(settings.get("pause", "500"), "1000");
  }
});
