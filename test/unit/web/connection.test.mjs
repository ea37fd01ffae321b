import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { ApiKey } from "../../../src/web/api_key.js";
import { AudioTape } from "../../../src/web/audio_tape.js";
import { Connection } from "../../../src/web/connection.js";
import { Turns } from "../../../src/web/turns.js";

const RATE = 100;
const TEXT = "conversation.item.input_audio_transcription";

/** A WebSocket that the test opens, closes and speaks through. */
class Socket extends EventTarget {
  static all = [];
  readyState = 0;
  sent = [];

  constructor(address, protocols) {
    super();
    Object.assign(this, { address, protocols });
    Socket.all.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  async opens() {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
    await settled();
  }

  async breaks() {
    this.readyState = 3;
    this.dispatchEvent(new Event("close"));
    await settled();
  }

  async says(event) {
    this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(event) }));
    await settled();
  }

  get audio() {
    const appends = this.sent.filter(({ type }) => type === "input_audio_buffer.append");
    return appends.flatMap(({ audio }) => [...new Int16Array(new Uint8Array(Buffer.from(audio, "base64")).buffer)]);
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const answer = (status, body, headers = {}) => new Response(JSON.stringify(body), { status, headers });
const piece = (first) => Int16Array.from({ length: 10 }, (_, index) => first + index);
const upTo = (count) => Array.from({ length: count }, (_, index) => index);

/** A connection, with what it reports and the requests that it makes. */
function setUp({ key = "", answers = [] } = {}) {
  const states = [];
  const requests = [];
  const apiKey = new ApiKey(null);
  apiKey.value = key;
  const fetch = async (address, options) => {
    requests.push({ address, options });
    const next = answers.shift();
    if (!next) throw new TypeError("unreachable");
    return next;
  };
  const server = { base: "http://host/stt/", wantsKey: key !== "", key: apiKey, fetch, WebSocket: Socket };
  const tape = new AudioTape(RATE, 120);
  const missed = [];
  const gaveUp = [];
  const turns = new Turns(RATE, () => {}, () => {}, { gaveUp: (seconds) => gaveUp.push(seconds), timeOf: () => new Date(0) });
  const connection = new Connection(server, tape, turns, () => ({ type: "transcription" }), (state) => states.push(state), (seconds) => missed.push(seconds));
  return { connection, states, requests, tape, turns, missed, gaveUp, socket: () => Socket.all.at(-1) };
}

/** Return the parts of a connection that is open and has begun its session. */
async function opened() {
  const parts = setUp();
  parts.connection.open();
  await settled();
  await parts.socket().opens();
  return parts;
}

/** Let a timer run out. */
async function wait(seconds) {
  mock.timers.tick(seconds * 1000);
  await settled();
  await settled();
}

beforeEach(() => {
  Socket.all = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
});

test("audio from before the connection is open is sent first, after the settings", async () => {
  const { connection, socket, states } = setUp();
  connection.append(piece(0));
  connection.open();
  connection.append(piece(10));
  await settled();
  await socket().opens();
  connection.append(piece(20));
  assert.equal(socket().address, "ws://host/stt/v1/realtime?intent=transcription&sample_rate=100");
  assert.deepEqual(socket().protocols, ["realtime"]);
  assert.equal(socket().sent[0].type, "session.update");
  assert.deepEqual(socket().audio, upTo(30));
  assert.deepEqual(states.map(({ name }) => name), ["connecting", "listening"]);
});

test("a key is traded for a temporary one, and stands in no address", async () => {
  const { connection, socket, requests } = setUp({ key: "sk-mine", answers: [answer(200, { value: "ek_1" })] });
  connection.open();
  await wait(0);
  await settled();
  assert.equal(requests[0].address, "http://host/stt/v1/realtime/client_secrets");
  assert.equal(requests[0].options.headers.Authorization, "Bearer sk-mine");
  assert.deepEqual(Object.keys(JSON.parse(requests[0].options.body)), ["expires_after"], "a key has to fit in a header");
  assert.deepEqual(socket().protocols, ["realtime", "openai-insecure-api-key.ek_1"]);
  assert.doesNotMatch(socket().address, /key|sk-|ek_/);
});

test("a wrong key ends it", async () => {
  const { connection, states } = setUp({ key: "sk-wrong", answers: [answer(401, { error: { code: "invalid_api_key" } })] });
  connection.open();
  await wait(0);
  await settled();
  assert.deepEqual(states.at(-1), { name: "closed", problem: states.at(-1).problem });
  assert.equal(states.at(-1).problem.kind, "wrong-key");
  assert.equal(Socket.all.length, 0);
});

test("a refused WebSocket is asked about over HTTP, and tried again when the server says", async () => {
  const full = answer(503, { error: { code: "too_many_sessions" } }, { "Retry-After": "7" });
  const { connection, socket, states, requests } = setUp({ answers: [full] });
  connection.open();
  await settled();
  await socket().breaks();
  await settled();
  assert.match(requests[0].address, /^http:\/\/host\/stt\/v1\/realtime\?/);
  assert.deepEqual([states.at(-1).problem.kind, states.at(-1).problem.retryS], ["full", 7]);
  await wait(6.9);
  assert.equal(Socket.all.length, 1);
  await wait(0.1);
  assert.equal(Socket.all.length, 2);
  connection.append(piece(0));
  await socket().opens();
  assert.deepEqual(socket().audio, upTo(10));
  assert.deepEqual(states.at(-1), { name: "listening", problem: null });
});

test("after a lost connection all audio without a final text is sent again", async () => {
  const { connection, socket, states } = await opened();
  for (const first of [0, 10, 20, 30]) connection.append(piece(first));
  await socket().says({ type: "input_audio_buffer.speech_started", item_id: "a", audio_start_ms: 0 });
  await socket().says({ type: "input_audio_buffer.speech_stopped", item_id: "a", audio_end_ms: 150 });
  await socket().says({ type: `${TEXT}.completed`, item_id: "a", transcript: "One." });
  await socket().breaks();
  assert.equal(states.at(-1).name, "lost");
  connection.append(piece(40));
  await wait(0.2);
  await socket().opens();
  assert.equal(Socket.all.length, 2);
  assert.deepEqual(socket().audio, upTo(50).slice(15));
});

test("a server that stays away is tried again ever later, and what happens is said", async () => {
  const { connection, socket, states } = await opened();
  await socket().breaks();
  await wait(0.2);
  await socket().breaks();
  await settled();
  assert.deepEqual([states.at(-1).name, states.at(-1).problem.kind], ["lost", "lost"]);
  connection.retryNow();
  await settled();
  assert.equal(Socket.all.length, 3);
});

test("an answer of a proxy while the server is away ends nothing", async () => {
  const { connection, socket, states } = setUp({ answers: [answer(404, null), answer(405, null)] });
  connection.open();
  await settled();
  await socket().opens();
  connection.append(piece(0));
  await socket().breaks();
  await wait(0.2);
  for (const count of [2, 3]) {
    assert.equal(Socket.all.length, count);
    await socket().breaks();
    await settled();
    assert.deepEqual([states.at(-1).name, states.at(-1).problem.kind, states.at(-1).problem.retryS], ["lost", "no-route", 3]);
    await wait(3);
  }
  await socket().opens();
  assert.deepEqual(states.at(-1), { name: "listening", problem: null });
  assert.deepEqual(socket().audio, upTo(10));
});

test("a connection that says nothing is asked, and given up when it does not answer", async () => {
  const { connection, socket, states } = await opened();
  const speak = (pieces) => upTo(pieces).forEach(() => connection.append(piece(0)));
  const questions = () => socket().sent.filter(({ event_id }) => event_id === "life").length;
  speak(102);
  assert.equal(questions(), 1);
  await socket().says({ type: "error", error: { event_id: "life", code: "item_not_found" } });
  speak(102);
  assert.equal(questions(), 2);
  speak(201);
  assert.equal(states.at(-1).name, "lost");
});

test("an end commits the last words and waits for their text", async () => {
  const { connection, socket, states } = await opened();
  connection.append(piece(0));
  await socket().says({ type: "input_audio_buffer.speech_started", item_id: "a", audio_start_ms: 0 });
  const end = connection.end();
  assert.deepEqual(socket().sent.slice(-2).map(({ event_id }) => event_id), ["commit", "end"]);
  await socket().says({ type: "input_audio_buffer.committed", item_id: "a" });
  await socket().says({ type: "error", error: { event_id: "end" } });
  assert.equal(states.at(-1).name, "listening");
  await socket().says({ type: `${TEXT}.completed`, item_id: "a", transcript: "One." });
  await end;
  assert.deepEqual(states.at(-1), { name: "closed", problem: null });
});

test("a turn that fails is sent again over a new connection, twice at most", async () => {
  const { connection, socket, tape, turns, gaveUp } = setUp();
  connection.open();
  await settled();
  connection.append(piece(0));
  connection.append(piece(10));
  for (const count of [1, 2, 3]) {
    await socket().opens();
    assert.deepEqual([Socket.all.length, socket().audio], [count, upTo(20)]);
    assert.deepEqual([gaveUp, turns.finishedTo, tape.start], [[], 0, 0]);
    await socket().says({ type: "input_audio_buffer.speech_started", item_id: `a${count}`, audio_start_ms: 0 });
    await socket().says({ type: "input_audio_buffer.speech_stopped", item_id: `a${count}`, audio_end_ms: 100 });
    await socket().says({ type: `${TEXT}.failed`, item_id: `a${count}`, error: { code: "transcription_failed" } });
    await wait(3);
  }
  assert.equal(Socket.all.length, 3);
  assert.deepEqual([gaveUp, turns.finishedTo], [[0.1], 10]);
});

test("a turn that fails at the end is sent again before the connection closes", async () => {
  const { connection, socket, states } = await opened();
  connection.append(piece(0));
  await socket().says({ type: "input_audio_buffer.speech_started", item_id: "a", audio_start_ms: 0 });
  const end = connection.end();
  await socket().says({ type: "input_audio_buffer.committed", item_id: "a" });
  await socket().says({ type: `${TEXT}.failed`, item_id: "a" });
  await wait(0.2);
  await socket().opens();
  assert.deepEqual(socket().audio, upTo(10));
  await socket().says({ type: "input_audio_buffer.speech_started", item_id: "b", audio_start_ms: 0 });
  await socket().says({ type: `${TEXT}.completed`, item_id: "b", transcript: "One." });
  await socket().says({ type: "error", error: { event_id: "end" } });
  await end;
  assert.deepEqual(states.at(-1), { name: "closed", problem: null });
});

test("a setting that the server refuses is named, and captions go on", async () => {
  const { connection, socket, states } = await opened();
  await socket().says({ type: "error", error: { event_id: "settings", message: "Too many keywords." } });
  assert.deepEqual([states.at(-1).name, states.at(-1).problem.remedy], ["listening", "Too many keywords."]);
  await socket().says({ type: "session.updated" });
  assert.deepEqual(states.at(-1), { name: "listening", problem: null });
});

test("a minute that nobody heard is named", async () => {
  const { connection, socket, missed } = await opened();
  connection.append(piece(0));
  await socket().says({ type: "session.created" });
  await socket().breaks();
  upTo(1500).forEach(() => connection.append(piece(0)));
  await wait(0.2);
  await socket().opens();
  assert.deepEqual(missed, [30]);
});
