import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Answer, upload } from "../../../src/web/upload.js";

/** The browser's XMLHttpRequest as far as the module uses it; `last` is the one made last. */
class FakeRequest {
  static last = null;
  upload = {};
  headers = {};
  status = 0;
  responseText = "";
  isAborted = false;

  constructor() {
    FakeRequest.last = this;
  }
  open(method, address) {
    Object.assign(this, { method, address });
  }
  setRequestHeader(name, value) {
    this.headers[name] = value;
  }
  getResponseHeader(name) {
    return this.answerHeaders?.[name] ?? null;
  }
  send(body) {
    this.body = body;
  }
  abort() {
    this.isAborted = true;
  }
}

const DELTA = 'data: {"type":"transcript.text.delta","delta":"Yes"}\n\n';
const DONE = 'data: {"type":"transcript.text.done","text":"Yes"}\n\n';
let calls;

function start(key = "") {
  globalThis.XMLHttpRequest = FakeRequest;
  calls = { sent: [], events: [], ends: [] };
  const cancel = upload({
    file: new File(["abc"], "a.wav"),
    address: "http://host/v1/audio/transcriptions",
    key,
    fields: [["stream", "true"], ["timestamp_granularities[]", "word"], ["timestamp_granularities[]", "segment"]],
    onSent: (share) => calls.sent.push(share),
    onEvents: (events) => calls.events.push(...events.map(({ type }) => type)),
    onEnd: (outcome) => calls.ends.push(outcome),
  });
  return { request: FakeRequest.last, cancel };
}

beforeEach(() => (FakeRequest.last = null));

test("the form has the fields and the file, and the key is in a header only", () => {
  const { request } = start("secret");
  assert.deepEqual(request.body.getAll("timestamp_granularities[]"), ["word", "segment"]);
  assert.equal(request.body.get("file").name, "a.wav");
  assert.equal(request.headers.Authorization, "Bearer secret");
  assert.ok(!request.address.includes("secret"));
  assert.deepEqual(start("").request.headers, {});
});

test("progress, events as they come, and one end", () => {
  const { request } = start();
  request.upload.onprogress({ loaded: 1, total: 4 });
  request.upload.onload();
  request.status = 200;
  request.responseText = DELTA + DONE.slice(0, 9);
  request.onprogress();
  assert.deepEqual([calls.sent, calls.events], [[0.25, 1], ["transcript.text.delta"]]);
  request.responseText = DELTA + DONE;
  request.onload();
  assert.deepEqual(calls.events, ["transcript.text.delta", "transcript.text.done"]);
  assert.deepEqual(calls.ends, [{ kind: "done" }]);
});

test("a refusal has its status, its body and when to try again", () => {
  const { request } = start();
  Object.assign(request, { status: 429, responseText: '{"error":{"code":"queue_full"}}', answerHeaders: { "Retry-After": "7" } });
  request.onprogress();
  request.onload();
  assert.deepEqual(calls.ends, [{ kind: "refused", status: 429, body: { error: { code: "queue_full" } }, retryAfter_s: 7 }]);
  assert.deepEqual(calls.events, []);
});

test("an answer that is no JSON, of a proxy, is a refusal without a body", () => {
  const { request } = start();
  Object.assign(request, { status: 502, responseText: "<html>" });
  request.onload();
  assert.deepEqual(calls.ends, [{ kind: "refused", status: 502, body: null, retryAfter_s: null }]);
});

test("a connection that is lost, before or amid the text", () => {
  start().request.onerror();
  assert.deepEqual(calls.ends, [{ kind: "lost" }]);
  const { request } = start();
  Object.assign(request, { status: 200, responseText: DELTA });
  request.onload();
  assert.deepEqual(calls.ends, [{ kind: "lost" }]);
});

test("a stream that ends with an error says why", () => {
  const outcome = new Answer(() => {}).outcome(`${DELTA}data: {"type":"error","error":{"message":"No."}}\n\n`);
  assert.deepEqual([outcome.kind, outcome.body.error.message], ["broken", "No."]);
});

test("after it is cancelled nothing is called", () => {
  const { request, cancel } = start();
  cancel();
  assert.ok(request.isAborted);
  for (const handler of [request.onload, request.onerror, request.onprogress, request.upload.onprogress]) assert.equal(handler, null);
});
