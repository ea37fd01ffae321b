import assert from "node:assert/strict";
import { test } from "node:test";

import { completeEvents } from "../../../src/web/event_stream.js";

const STREAM = 'data: {"delta":"Gr\u00fc\u00dfe \u{1f44b}"}\n\n: alive\n\ndata: {"a":\ndata: 1}\r\n\r\nevent: x\ndata:{"b":2}\n\ndata: [DONE]\n\n';
const EVENTS = [{ delta: "Gr\u00fc\u00dfe \u{1f44b}" }, { a: 1 }, { b: 2 }];

test("events are the same wherever the text was cut", () => {
  for (let cut = 0; cut <= STREAM.length; cut++) {
    const first = completeEvents(STREAM.slice(0, cut), 0);
    const second = completeEvents(STREAM, first.next);
    assert.deepEqual([...first.events, ...second.events], EVENTS);
    assert.equal(second.next, STREAM.length);
  }
});

test("an event without its blank line waits", () => {
  assert.deepEqual(completeEvents('data: {"a":1}\n', 0), { events: [], next: 0 });
});

test("a character that is not whole yet does not matter", () => {
  const early = completeEvents('data: {"a":1}\n\ndata: {"b":"\ufffd', 0);
  const late = completeEvents('data: {"a":1}\n\ndata: {"b":"\u00e9"}\n\n', early.next);
  assert.deepEqual([...early.events, ...late.events], [{ a: 1 }, { b: "\u00e9" }]);
});
