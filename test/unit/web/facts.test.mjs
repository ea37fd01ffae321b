import assert from "node:assert/strict";
import { test } from "node:test";

import { readFacts } from "../../../src/web/facts.js";

test("facts are read from the page's meta elements", () => {
  const metas = {
    "parakeet-version": "1.2",
    "parakeet-model": "tiny",
    "parakeet-keys": "1",
    "parakeet-languages": "en,de",
    "parakeet-max-audio-seconds": "600",
    "parakeet-max-upload-bytes": "67108864",
    "parakeet-hypothesis": "1",
  };
  assert.deepEqual(readFacts((name) => metas[name]), {
    version: "1.2",
    model: "tiny",
    wantsKey: true,
    languages: ["en", "de"],
    maxAudioSeconds: 600,
    maxUploadBytes: 67108864,
    hypothesis: true,
  });
});

test("a page without facts has no languages and no limits", () => {
  const { languages, wantsKey, maxAudioSeconds, hypothesis } = readFacts(() => undefined);
  assert.deepEqual([languages, wantsKey, maxAudioSeconds, hypothesis], [[], false, Infinity, false]);
});
