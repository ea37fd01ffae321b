import assert from "node:assert/strict";
import { test } from "node:test";

import { hotWords, hotWordsNote, sessionOf } from "../../../src/web/session_settings.js";

test("hot words are what lies between commas, semicolons and line breaks", () => {
  assert.deepEqual(hotWords(" Parakeet, NeMo;Ann Lee\n, NeMo"), ["Parakeet", "NeMo", "Ann Lee"]);
  assert.deepEqual(hotWords("  "), []);
});

test("hot words that the service would refuse are left out, and that is said", () => {
  const many = Array.from({ length: 102 }, (_, index) => `word ${index}`).join(", ");
  assert.deepEqual([hotWords(many).length, hotWords(many).at(-1)], [100, "word 99"]);
  assert.equal(hotWordsNote(many), "Only the first 100 of these 102 are used.");
  const most = "\u{1F99C}".repeat(100); // characters, not UTF-16 units
  assert.deepEqual(hotWords(`${most}, ${most}x, Ann`), [most, "Ann"]);
  assert.match(hotWordsNote(`Ann, ${"long ".repeat(30)}`), /^“long long long long …” is left out: a hot word has 100 characters/);
  assert.equal(hotWordsNote(`Ann, ${most}`), "");
});

test("a session has the chosen settings", () => {
  const session = sessionOf({ rate: 16_000, language: "", hotWords: "NeMo", pauseMs: 300, hypothesis: true });
  assert.deepEqual(session.audio.input, {
    format: { type: "audio/pcm", rate: 16_000 },
    transcription: { language: null, keywords: ["NeMo"] },
    turn_detection: { type: "server_vad", silence_duration_ms: 300 },
  });
  assert.deepEqual(session.include, ["item.input_audio_transcription.hypothesis"]);
  assert.deepEqual(sessionOf({ rate: 1, language: "en", hotWords: "", pauseMs: 1, hypothesis: false }).include, []);
});
