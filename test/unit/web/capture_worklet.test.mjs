import assert from "node:assert/strict";
import { test } from "node:test";

/** What the browser's audio thread has. */
let Recorder = null;
globalThis.AudioWorkletProcessor = class {
  port = { posted: [], postMessage: (data) => this.port.posted.push(data) };
};
globalThis.registerProcessor = (_, processor) => (Recorder = processor);
await import("../../../src/web/capture_worklet.js");

/** A recorder that gives out pieces of 200 samples, and has heard so many times 128. */
function recorderAfter(count) {
  const recorder = new Recorder({ processorOptions: { samples: 200 } });
  for (let index = 0; index < count; index += 1) recorder.process([[new Float32Array(128).fill(0.5)]]);
  return recorder;
}

const lengths = ({ port }) => port.posted.map((data) => data.length);

test("sound is given out in whole pieces", () => {
  const recorder = recorderAfter(4);
  assert.deepEqual(lengths(recorder), [200, 200]);
  assert.ok(recorder.port.posted.every((piece) => piece.every((value) => value === 16384)));
});

test("at the end the begun piece is given out too, then a mark", () => {
  const recorder = recorderAfter(4);
  recorder.port.onmessage({ data: "flush" });
  assert.deepEqual(recorder.port.posted.slice(2), [new Int16Array(112).fill(16384), "flushed"]);
});

test("without a begun piece there is only the mark", () => {
  const recorder = recorderAfter(0);
  recorder.port.onmessage({ data: "flush" });
  assert.deepEqual(recorder.port.posted, ["flushed"]);
});
