import assert from "node:assert/strict";
import { test } from "node:test";

import { float, verboseJson } from "../../../src/web/verbose_json.js";

test("floats are written as pydantic writes them", () => {
  const written = {
    "0.0": 0, "-0.0": -0, "1.0": 1, "3e-6": 3e-6, "-9.5e-6": -9.5e-6, "0.00001": 1e-5, "-0.000012": -1.2e-5,
    "10800.0": 10800, "123456.789": 123456.789, "-9999.0": -9999,
  };
  for (const [text, number] of Object.entries(written)) assert.equal(float(number), text);
});

test("keys stand in the service's order, whole numbers stay whole, and what is not there is left out", () => {
  const segment = { id: 0, seek: 0, start: 0, end: 1, text: " A \u2028\u00e9.", tokens: [7], temperature: 0, avg_logprob: -0.25 };
  const done = { type: "transcript.text.done", text: "A", language: "english", duration: 2.01, segments: [segment], words: undefined };
  assert.equal(
    verboseJson(done),
    '{"task":"transcribe","language":"english","duration":2.01,"text":"A","segments":[{"id":0,"seek":0,"start":0.0,' +
      '"end":1.0,"text":" A \u2028\u00e9.","tokens":[7],"temperature":0.0,"avg_logprob":-0.25}],' +
      '"usage":{"type":"duration","seconds":3}}',
  );
});
