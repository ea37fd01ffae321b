import assert from "node:assert/strict";
import { test } from "node:test";

import { hotWords, sessionOf } from "../../../src/web/session_settings.js";

test("hot words are what lies between commas, semicolons and line breaks", () => {
  assert.deepEqual(hotWords(" Parakeet, NeMo;Ann Lee\n, NeMo"), ["Parakeet", "NeMo", "Ann Lee"]);
  assert.deepEqual(hotWords("  "), []);
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
