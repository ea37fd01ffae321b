import assert from "node:assert/strict";
import { test } from "node:test";

import { fileProblem } from "../../../src/web/file_problem.js";

const refused = (status, code, message, retryAfter_s = null) =>
  fileProblem({ kind: "refused", status, body: { error: { code, message } }, retryAfter_s });

test("a full service is asked again when it says", () => {
  assert.deepEqual([refused(429, "queue_full", "x", 7).retry_s, refused(503, "queue_timeout", "x").retry_s], [7, 5]);
  assert.equal(refused(503, "model_not_ready", "x", 2).sentence, "The service is still loading its model.");
});

test("nothing else is sent again by itself", () => {
  const others = [refused(400, "invalid_audio", "No."), refused(401), fileProblem({ kind: "lost" }), fileProblem({ kind: "broken" })];
  assert.deepEqual(others.map(({ retry_s }) => retry_s), [null, null, null, null]);
});

test("the service's own sentence is shown, with what to do", () => {
  const { sentence, remedy } = refused(400, "invalid_audio", "The file has no audio track.");
  assert.deepEqual([sentence, remedy], ["The file has no audio track.", "Choose another file."]);
  assert.match(refused(413, "audio_too_long", "Too long (PARAKEET_MAX_AUDIO_SECONDS).").remedy, /shorter/);
  assert.equal(fileProblem({ kind: "broken", body: { error: { message: "It stopped." } } }).sentence, "It stopped.");
});

test("a wrong key is a matter of the key", () => {
  assert.deepEqual([refused(401).wantsKey, refused(500).wantsKey], [true, false]);
  assert.match(refused(401).remedy, /API key/);
});

test("an answer of something in between has a sentence, too", () => {
  assert.match(fileProblem({ kind: "refused", status: 502, body: null, retryAfter_s: null }).sentence, /502/);
});
