import assert from "node:assert/strict";
import { test } from "node:test";

import { Turns } from "../../../src/web/turns.js";

const RATE = 16_000;
const TEXT = "conversation.item.input_audio_transcription";

/** Turns, and what the page shows of them. */
function shownTurns() {
  const shown = new Map();
  const gaveUp = [];
  const turns = new Turns(
    RATE,
    (turn) => shown.set(turn, [turn.shown.settled, turn.shown.provisional, turn.isFinal]),
    (turn) => shown.delete(turn),
    { gaveUp: (seconds) => gaveUp.push(seconds), timeOf: (sample) => new Date(sample / 16) },
  );
  const send = (...events) => events.forEach((event) => turns.receive(event, 100 * RATE));
  const times = () => [...shown.keys()].map(({ at }) => at.getTime());
  const languages = () => [...shown.keys()].map(({ language }) => language);
  return { turns, send, seen: () => [...shown.values()], times, languages, gaveUp };
}

const started = (item_id, audio_start_ms) => ({ type: "input_audio_buffer.speech_started", item_id, audio_start_ms });
const stopped = (item_id, audio_end_ms) => ({ type: "input_audio_buffer.speech_stopped", item_id, audio_end_ms });
const delta = (item_id, text) => ({ type: `${TEXT}.delta`, item_id, delta: text });
const hypothesis = (item_id, text) => ({ type: `${TEXT}.hypothesis`, item_id, text });
const failed = (item_id) => ({ type: `${TEXT}.failed`, item_id, error: {} });
const completed = (item_id, transcript) => ({ type: `${TEXT}.completed`, item_id, transcript });

test("deltas settle, hypotheses replace one another, the final text replaces both", () => {
  const { send, seen } = shownTurns();
  send(started("a", 500), hypothesis("a", "The"), delta("a", "The"), hypothesis("a", " bat"), hypothesis("a", " black bi"));
  assert.deepEqual(seen(), [["The", " black bi", false]]);
  send(delta("a", " black"), hypothesis("a", ""), completed("a", "The black bicycle."));
  assert.deepEqual(seen(), [["The black bicycle.", "", true]]);
});

test("a turn has the language of its final text, and none before that or if the service does not say it", () => {
  const { send, languages, turns } = shownTurns();
  send(started("a", 0), hypothesis("a", "Der schwarze"), started("b", 1000), delta("b", "One."));
  assert.deepEqual(languages(), ["", ""]);
  send({ ...completed("a", "Der schwarze Hund."), languages: [{ code: "de" }] });
  send({ ...completed("b", "One."), languages: [] }, started("c", 3000), completed("c", "Two."));
  send(started("d", 5000), delta("d", "Three."));
  turns.close();
  assert.deepEqual(languages(), ["de", "", "", ""]);
});

test("a turn without words disappears", () => {
  const { send, seen, turns } = shownTurns();
  send(started("a", 0), stopped("a", 900), completed("a", ""));
  assert.deepEqual(seen(), []);
  assert.equal(turns.finishedTo, 0.9 * RATE);
  assert.ok(turns.areFinal);
});

test("a turn that fails is asked for again, and in the end keeps what was shown of it", () => {
  const { send, seen, turns, gaveUp } = shownTurns();
  for (const id of ["a", "b", "c"]) {
    turns.resume(0, 2 * RATE);
    assert.ok(!turns.mustRepeat);
    send(started(id, 0), delta(id, "The black"), stopped(id, 900), failed(id));
    assert.equal(turns.mustRepeat, id !== "c");
    assert.deepEqual(seen(), [["The black", "", id === "c"]]);
    assert.equal(turns.finishedTo, id === "c" ? 0.9 * RATE : 0);
  }
  assert.deepEqual(gaveUp, [0.9]);
  assert.ok(turns.areFinal);
});

test("a turn that failed once and then has its text is like any other", () => {
  const { send, seen, turns, gaveUp } = shownTurns();
  send(started("a", 0), hypothesis("a", "The"), stopped("a", 900), failed("a"));
  assert.equal(turns.resume(0, 2 * RATE).from, 0);
  send(started("b", 0), stopped("b", 900), completed("b", "The black bicycle."), started("c", 1000), failed("c"));
  assert.deepEqual([seen()[0], gaveUp], [["The black bicycle.", "", true], []]);
  assert.ok(turns.mustRepeat, "it counts anew for the next turn");
});

test("a turn has the time of its first sample, also when its audio is sent again", () => {
  const { send, times, turns } = shownTurns();
  send(started("a", 500), stopped("a", 1000), completed("a", "One."), started("b", 2000));
  turns.resume(0, 3 * RATE);
  send(started("c", 1000), completed("c", "Two."), started("d", 7000));
  assert.deepEqual(times(), [500, 2000, 8000]);
});

test("audio without final text is sent again, and its turn goes on in its own line", () => {
  const { send, seen, turns } = shownTurns();
  send(started("a", 0), stopped("a", 1000), started("b", 2000), completed("a", "One."), delta("b", "Two three"));
  assert.deepEqual(turns.resume(0, 3 * RATE), { from: RATE, missed: 0 });
  send(started("c", 1000), delta("c", "Two"));
  assert.deepEqual(seen(), [["One.", "", true], ["Two three", "", false]], "what was read does not go back");
  send(delta("c", " three four"));
  assert.deepEqual(seen()[1], ["Two three four", "", false]);
  send(stopped("c", 4000), completed("c", "Two, three, four."));
  assert.deepEqual(seen()[1], ["Two, three, four.", "", true]);
  assert.equal(turns.finishedTo, 5 * RATE);
});

test("a turn that was committed but had no text yet is repeated too", () => {
  const { send, seen, turns } = shownTurns();
  send(started("a", 0), delta("a", "One"), stopped("a", 1000), started("b", 1500));
  assert.equal(turns.resume(0, 2 * RATE).from, 0);
  assert.ok(!turns.areFinal);
  send(started("c", 0), stopped("c", 1000), completed("c", "One."), started("d", 1500), completed("d", "Two."));
  assert.deepEqual(seen(), [["One.", "", true], ["Two.", "", true]]);
  assert.ok(turns.areFinal);
});

test("what was no turn the second time disappears", () => {
  const { send, seen, turns } = shownTurns();
  send(started("a", 0), hypothesis("a", "uh"), stopped("a", 400));
  turns.resume(0, RATE);
  send(started("b", 2000), stopped("b", 3000), completed("b", "Two."));
  assert.deepEqual(seen(), [["Two.", "", true]]);
});

test("a gap longer than the tape is named, and the turn before it keeps its words", () => {
  const { send, seen, turns } = shownTurns();
  send(started("a", 0), delta("a", "A long speech"));
  const { from, missed } = turns.resume(130 * RATE, 100 * RATE);
  assert.deepEqual([from, missed], [130 * RATE, 30 * RATE]);
  assert.deepEqual(seen(), [["A long speech", "", true]]);
});

test("of a turn longer than the tape, little is sent again", () => {
  const { send, turns } = shownTurns();
  send(started("a", 0), delta("a", "A long speech"));
  assert.deepEqual(turns.resume(30 * RATE, 100 * RATE), { from: 98 * RATE, missed: 0 });
});

test("positions of a second connection begin where it began", () => {
  const { send, turns } = shownTurns();
  send(started("a", 0), stopped("a", 1000), completed("a", "One."));
  turns.resume(0, 4 * RATE);
  send(started("b", 500), stopped("b", 2000), completed("b", "Two."));
  assert.equal(turns.finishedTo, 3 * RATE);
});

test("a commit ends the turn where the audio ends", () => {
  const { send, turns } = shownTurns();
  send(started("a", 0), { type: "input_audio_buffer.committed", item_id: "a" }, completed("a", "One."));
  assert.equal(turns.finishedTo, 100 * RATE);
});

test("an end without an answer leaves what is shown", () => {
  const { send, seen, turns } = shownTurns();
  send(started("a", 0), delta("a", "One"), hypothesis("a", " two"));
  turns.close();
  assert.deepEqual(seen(), [["One two", "", true]]);
  assert.ok(turns.areFinal);
});
