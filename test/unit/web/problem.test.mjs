import assert from "node:assert/strict";
import { test } from "node:test";

import { problem, problemOf, problemOfCapture, retryWords } from "../../../src/web/problem.js";

const body = (code, message = "Said by the server.") => ({ error: { code, message } });

test("each refusal has its own sentence, and all but those that pass have a remedy", () => {
  const refusals = [
    problem("insecure"),
    problemOfCapture({ name: "NotFoundError" }, "microphone"),
    problemOfCapture({ name: "NotAllowedError", message: "Permission denied" }, "microphone"),
    problemOfCapture({ name: "NotAllowedError", message: "Permission denied by system" }, "microphone"),
    problemOfCapture({ name: "NotReadableError" }, "microphone"),
    problemOfCapture({ name: "NotAllowedError" }, "screen"),
    problemOf(401, body("invalid_api_key"), null),
    problemOf(503, body("too_many_sessions"), 7),
    problemOf(503, body("model_not_ready"), 2),
    problemOf(503, body("shutting_down"), 2),
    problemOf(429, body("rate_limit_exceeded"), 4),
    problemOf(400, body("origin_not_allowed"), null),
    problemOf(404, null, null),
    problemOf(426, body("upgrade_required"), null),
    problem("unreachable"),
    problem("lost"),
    problem("no-key"),
  ];
  const sentences = refusals.map(({ sentence }) => sentence);
  assert.equal(new Set(sentences).size, sentences.length);
  for (const each of refusals) assert.ok(each.remedy || retryWords(each), each.kind);
});

test("a full server is tried again when it says so", () => {
  const full = problemOf(503, body("too_many_sessions"), 7);
  assert.equal(full.kind, "full");
  assert.equal(retryWords(full), "Trying again in 7 s.");
  assert.equal(problemOf(503, body("too_many_sessions"), null).retryS, 10);
});

test("a wrong key is not tried again", () => {
  assert.equal(problemOf(401, body("invalid_api_key"), 5).retryS, null);
  assert.equal(retryWords(problem("wrong-key")), "");
});

test("an answer that the page does not know keeps the server's own words", () => {
  assert.equal(problemOf(500, body("internal_error", "A fault."), null).remedy, "A fault.");
  assert.equal(problemOf(400, body("invalid_value", "`language`: no."), null).remedy, "`language`: no.");
  assert.equal(problemOf(502, null, null).kind, "busy-server");
});
