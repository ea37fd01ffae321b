"""A session by its events alone: what a client receives, in which order, and the work for the model."""

import base64
from dataclasses import replace
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from media import clip, pcm16, resampled
from session_harness import (
    CLEAR,
    COMMIT,
    FRAME_S,
    NEW_ITEM,
    RATE,
    RESPOND,
    WINDOWING,
    Loudness,
    SessionHarness,
    append,
    expected_text,
    kinds,
    manual,
    manual_client,
    only,
    silence,
    simple_client,
    speech,
    step_result,
    texts,
    tokens_of,
    transcript,
    update,
)

from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import SpeechDetector, run_detection
from src.engine.model import StepResult
from src.errors import QueueFull
from src.memory.budget import Budget
from src.memory.plan import AUDIO_BYTES_PER_S
from src.realtime.audio_input import SLICE_S
from src.realtime.outputs import Cancelled, ItemCommitted, ItemWork, StepWork
from src.realtime.session import CATCH_UP_S
from src.text.transcript import Transcript
from src.wire.model_names import ServedModel

EMPTY = "input_audio_buffer_commit_empty"


def create(audio: np.ndarray, **item) -> dict:
    content = [{"type": "input_audio", "audio": base64.b64encode(pcm16(audio)).decode()}]
    return {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content} | item}


def code(events: list[dict]) -> str:
    return only(events, "error")["error"]["code"]


def faint(seconds: float) -> np.ndarray:
    """Return a sound that `Loudness` does not take for speech."""
    return np.full(round(seconds * RATE), 0.03, np.float32)


def sure_step(work: StepWork) -> StepResult:
    """The played model's result of a step, of which the model is sure."""
    result = step_result(work)
    tokens, ahead = (tuple(token._replace(logprob=0.0) for token in each) for each in (result.tokens, result.lookahead))
    return replace(result, tokens=tokens, lookahead=ahead)


# Configuration


@pytest.mark.parametrize("name", ["session.update", "transcription_session.update"])
def test_a_change_is_answered_by_its_own_name(name):
    (events,) = SessionHarness().send(update({"turn_detection": None}, name))
    assert events["type"] == f"{name}d"
    assert ("audio" in events["session"]) == (name == "session.update")


# Manual commits


def test_a_commit_is_announced_transcribed_and_completed():
    harness = manual_client(partials=False)
    assert harness.send(append(speech(1.2))) == []
    events = harness.send(COMMIT)
    assert kinds(events) == NEW_ITEM
    committed, added, done = events
    item_id = committed["item_id"]
    assert committed["previous_item_id"] is None
    assert added["item"] == {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    assert done["item"] == added["item"]
    delta, completed = harness.run_all()
    assert delta["delta"] == completed["transcript"] == expected_text(speech(1.2))
    assert {delta["item_id"], completed["item_id"]} == {item_id}
    assert completed["usage"] == {"type": "duration", "seconds": 2}


def test_a_beta_client_reads_one_event_for_an_item():
    harness = SessionHarness(beta=True)
    harness.send(update({"turn_detection": None}), append(speech(0.5)))
    assert kinds(harness.send(COMMIT)) == ["committed", "conversation.item.created"]


def test_items_name_the_one_before():
    harness = manual_client()
    ids = []
    for _ in range(3):
        committed = only(harness.send(append(speech(0.3)), COMMIT), "committed")
        assert committed["previous_item_id"] == (ids[-1] if ids else None)
        ids.append(committed["item_id"])
    completed = [event for event in harness.run_all() if "transcript" in event]
    assert [event["item_id"] for event in completed] == ids


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.099])
def test_a_commit_of_next_to_nothing_is_an_error_that_names_its_event(seconds):
    harness = manual_client()
    (error,) = harness.send(append(speech(seconds)), COMMIT | {"event_id": "mine"})
    assert error["error"] == {
        "type": "invalid_request_error",
        "code": EMPTY,
        "message": "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
        f"but buffer only has {seconds * 1000:.2f}ms of audio.",
        "param": None,
        "event_id": "mine",
    }


def test_audio_that_was_too_little_stays_for_the_next_commit():
    harness = manual_client()
    assert code(harness.send(append(speech(0.06)), COMMIT)) == EMPTY
    harness.send(append(speech(0.06)), COMMIT)
    assert texts(harness.run_all()) == [expected_text(speech(0.12))]


def test_a_tenth_of_a_second_is_enough():
    assert kinds(manual_client().send(append(speech(0.1)), COMMIT)) == NEW_ITEM


def test_an_empty_item_has_an_empty_transcript_and_no_delta():
    harness = manual_client(final=lambda samples: Transcript(""))
    harness.send(append(silence(0.15)), COMMIT)
    (completed,) = harness.run_all()
    assert completed["transcript"] == ""


def test_an_item_that_fails_says_so_and_the_next_one_goes_on():
    harness = manual_client()
    first = only(harness.send(append(speech(0.3)), COMMIT), "committed")
    harness.send(append(speech(0.5)), COMMIT)
    (failed,) = harness.fail_next(QueueFull("The queue is full."))
    assert failed["item_id"] == first["item_id"]
    assert failed["error"] == {
        "type": "rate_limit_exceeded",
        "code": "queue_full",
        "message": "The queue is full.",
        "param": None,
    }
    assert texts(harness.run_all()) == [expected_text(speech(0.5))]


def test_odd_bytes_are_carried_to_the_next_append():
    harness = manual_client()
    audio = clip("rhvoice-slt-1")
    wire = pcm16(audio)
    for start in range(0, len(wire), 1001):
        harness.send(append(wire[start : start + 1001]))
    harness.send(COMMIT)
    assert np.array_equal(harness.session.next_work().item.samples, audio)


def test_cancelled_work_comes_again():
    harness = manual_client()
    harness.send(append(speech(0.3)), COMMIT)
    work = harness.session.next_work()
    assert harness.session.next_work() is None
    assert harness.session.finish(work, Cancelled()) == []
    assert texts(harness.run_all()) == [expected_text(speech(0.3))]


def test_audio_beyond_the_limit_is_rejected_and_the_buffer_stays():
    harness = manual_client(max_audio_s=2)
    assert harness.send(append(speech(1.5))) == []
    assert code(harness.send(append(speech(0.6)))) == "input_audio_buffer_full"
    assert harness.send(append(speech(0.5))) == []
    harness.send(COMMIT)
    assert texts(harness.run_all()) == [expected_text(speech(2.0))]
    assert harness.send(append(speech(2.0))) == []


def test_audio_that_does_not_fit_the_budget_of_all_sessions_is_rejected():
    budget = Budget(10 * AUDIO_BYTES_PER_S)
    one, other = manual_client(budget=budget), manual_client(budget=budget)
    assert one.send(append(speech(6))) == []
    refused = only(other.send(append(speech(5)) | {"event_id": "mine"}), "error")["error"]
    assert (refused["code"], refused["type"]) == ("queue_full", "rate_limit_exceeded")
    assert (refused["event_id"], refused["param"]) == ("mine", "audio")
    assert code(other.send(create(speech(5)))) == "queue_full"
    assert other.send(append(speech(4))) == []
    one.send(COMMIT)
    assert code(other.send(append(speech(1)))) == "queue_full", "committed audio is there until it has its text"
    assert texts(one.run_all()) == [expected_text(speech(6))]
    assert other.send(append(speech(1))) == []
    other.send(COMMIT)
    assert texts(other.run_all()) == [expected_text(speech(5))]
    assert budget.reserved_bytes == 0


@pytest.mark.parametrize("detection", [None, {"type": "server_vad"}])
def test_audio_counts_until_it_is_forgotten_however_that_comes(detection):
    budget = Budget(1 << 40)
    harness = SessionHarness(budget=budget)
    harness.send(update({"turn_detection": detection}), append(silence(5)))
    assert budget.reserved_bytes == 5 * AUDIO_BYTES_PER_S
    harness.send(CLEAR)
    assert budget.reserved_bytes == 0
    harness.send(append(silence(60)))
    assert budget.reserved_bytes <= (60 if detection is None else 11) * AUDIO_BYTES_PER_S
    harness.send(CLEAR, create(speech(2)))
    assert budget.reserved_bytes == 2 * AUDIO_BYTES_PER_S
    harness.fail_next(QueueFull("no"))
    assert budget.reserved_bytes == 0


def test_a_turn_without_room_in_the_budget_gets_errors_and_goes_on_with_what_fits():
    budget = Budget(20 * AUDIO_BYTES_PER_S, shares=2)  # each session is sure of 5 s
    hoarder, speaker = manual_client(budget=budget), SessionHarness(budget=budget)
    assert hoarder.send(append(speech(15))) == []
    events = speaker.send(*(append(speech(0.5)) for _ in range(12)))
    assert kinds(events) == ["speech_started", "error", "error"]
    assert kinds(speaker.send(append(silence(0.5)))) == ["error"]
    speaker.send(COMMIT)
    assert texts(speaker.run_all()) == [expected_text(speech(5))]
    assert speaker.send(append(silence(1))) == []


def test_what_came_before_its_format_was_known_may_not_be_more_than_the_buffer_holds_in_it():
    harness = SessionHarness(rate=24_000, max_audio_s=2)
    update = {
        "type": "session.update",
        "session": {"audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}}},
    }
    assert harness.send(append(speech(0.8))) == []  # as 8 kHz with one byte per sample, it is much longer
    assert code(harness.send(update)) == "input_audio_buffer_full"
    harness.send(COMMIT)
    assert harness.session.next_work().item.audio_s < 1


def test_silence_may_last_for_ever_if_the_client_commits():
    """Some clients send everything from their microphone, and commit once somebody has spoken."""
    harness = manual_client(max_audio_s=10)
    for _ in range(50):
        assert harness.send(append(silence(1.0))) == []
    assert harness.send(append(speech(5.0)), append(silence(2.0))) == []
    harness.send(COMMIT)
    [item] = [notice for notice in harness.notices if isinstance(notice, ItemCommitted)]
    assert 8 <= item.audio_s <= 10


def test_a_client_far_ahead_of_the_model_is_made_to_wait():
    harness = manual_client(max_audio_s=2)
    harness.send(append(speech(1.5)), COMMIT)
    assert not harness.session.backlogged
    harness.send(append(speech(1.5)), COMMIT)
    assert harness.session.backlogged
    harness.run_all()
    assert not harness.session.backlogged


# Clear


def test_clear_forgets_what_is_not_committed_and_nothing_else():
    harness = manual_client()
    harness.send(append(speech(0.5)), COMMIT)
    assert kinds(harness.send(append(speech(1.0)), CLEAR)) == ["cleared"]
    assert code(harness.send(COMMIT)) == EMPTY
    assert texts(harness.run_all()) == [expected_text(speech(0.5))]


def test_clear_in_a_turn_ends_it_without_an_item_and_the_clock_goes_on():
    harness = SessionHarness()
    events = harness.send(append(speech(2.0)), CLEAR)
    assert kinds(events) == ["speech_started", "cleared"]
    events = harness.send(append(silence(1.0)), append(speech(1.0)))
    assert only(events, "speech_started")["audio_start_ms"] in range(2_600, 3_000)
    assert only(events, "speech_started")["item_id"] != harness.received[1]["item_id"]


# Turns


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def test_a_turn_has_events_and_becomes_an_item_with_the_same_id():
    harness = SessionHarness()
    events = harness.send(append(np.concatenate([silence(2.0), speech(1.0), silence(1.0)])))
    assert kinds(events) == ["speech_started", "speech_stopped", *NEW_ITEM]
    started, stopped, committed, added, done = events
    ids = {started["item_id"], stopped["item_id"], committed["item_id"], added["item"]["id"], done["item"]["id"]}
    assert len(ids) == 1
    assert started["audio_start_ms"] == pytest.approx(1_700, abs=32)
    assert stopped["audio_end_ms"] == pytest.approx(3_500, abs=32)
    (item,) = harness.notices
    assert item.audio_s * 1000 == pytest.approx(stopped["audio_end_ms"] - started["audio_start_ms"], abs=1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
def test_real_speech_is_found_where_it_is_at_any_rate(detector, rate):
    harness = SessionHarness(rate=rate, new_speech_stream=detector.new_stream)
    audio = np.concatenate([silence(1.5), clip("piper-joe-1"), silence(1.5)])
    events = []
    wire = pcm16(resampled(audio, rate))
    for start in range(0, len(wire), rate // 5):
        events += harness.send(append(wire[start : start + rate // 5]))
    starts = [event["audio_start_ms"] for event in events if "audio_start_ms" in event]
    ends = [event["audio_end_ms"] for event in events if "audio_end_ms" in event]
    spans = run_detection(detector.spans(audio))
    assert starts[0] == pytest.approx(spans[0].start_s * 1000 - 300, abs=100)
    assert ends[-1] == pytest.approx(spans[-1].end_s * 1000 + 500, abs=100)
    assert texts(harness.run_all())


def test_noise_is_no_turn(detector):
    harness = SessionHarness(new_speech_stream=detector.new_stream)
    assert harness.send(append(clip("noise-pink-4s")), append(clip("noise-hum-2s"))) == []


def test_a_manual_commit_takes_open_speech_without_a_stop():
    harness = SessionHarness()
    started = only(harness.send(append(silence(1.0)), append(speech(1.0))), "speech_started")
    events = harness.send(COMMIT)
    assert kinds(events) == NEW_ITEM
    assert events[0]["item_id"] == started["item_id"]
    later = harness.send(append(speech(0.5)))
    assert only(later, "speech_started")["audio_start_ms"] == 2_000


def test_a_commit_right_after_a_turn_finds_nothing_to_take():
    harness = SessionHarness()
    harness.send(append(np.concatenate([silence(1.0), speech(1.0), silence(1.0)])))
    assert code(harness.send(COMMIT)) == EMPTY
    assert code(harness.send(append(silence(5.0)), COMMIT)) == EMPTY


def test_silence_in_which_nothing_was_ever_detected_can_be_committed():
    harness = SessionHarness()
    assert kinds(harness.send(append(silence(2.0)), COMMIT)) == NEW_ITEM
    harness.run_all()
    assert kinds(harness.send(append(silence(0.5)), COMMIT)) == NEW_ITEM


def test_of_endless_silence_only_the_end_is_kept():
    harness = SessionHarness()
    harness.send(*[append(silence(5.0))] * 10, COMMIT)
    (notice,) = harness.notices
    assert notice.audio_s == 10


def test_an_endless_turn_is_cut_and_goes_on():
    harness = SessionHarness(max_audio_s=20)
    events = harness.send(append(speech(50)))
    assert kinds(events) == ["speech_started", "speech_stopped", *NEW_ITEM] * 2 + ["speech_started"]
    assert [notice.audio_s for notice in harness.notices] == [20, 20]
    assert [event["audio_start_ms"] for event in events if "audio_start_ms" in event] == [0, 20_000, 40_000]


def test_nobody_speaking_is_a_timeout_and_an_item():
    harness = SessionHarness()
    harness.send(update({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5_000}}))
    events = harness.send(append(silence(6.0)))
    assert kinds(events) == ["timeout_triggered", *NEW_ITEM]
    assert (events[0]["audio_start_ms"], events[0]["audio_end_ms"]) == (0, 5_000)
    assert events[0]["item_id"] == events[1]["item_id"]


def test_silence_counts_from_the_moment_that_a_timeout_is_asked_for():
    harness = SessionHarness()
    harness.send(*[append(silence(5.0))] * 8)
    events = harness.send(update({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5_000}}))
    assert kinds(events) == ["session.updated"]
    assert harness.send(append(silence(4.0))) == []
    assert kinds(harness.send(append(silence(1.1)))) == ["timeout_triggered", *NEW_ITEM]
    assert [notice.audio_s for notice in harness.notices] == [5.0]


def test_no_timeout_makes_a_session_hold_more_than_it_may():
    harness = SessionHarness(max_audio_s=20)
    harness.send(update({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 60_000}}))
    assert kinds(harness.send(append(silence(61.0)))) == ["timeout_triggered", *NEW_ITEM]
    (notice,) = harness.notices
    assert notice.audio_s <= 20 + SLICE_S


def test_detection_that_is_turned_off_leaves_the_turn_to_the_client():
    harness = SessionHarness()
    started = only(harness.send(append(silence(1.0)), append(speech(1.0))), "speech_started")
    harness.send(manual())
    assert harness.send(append(silence(3.0))) == []
    assert only(harness.send(COMMIT), "committed")["item_id"] == started["item_id"]
    (notice,) = harness.notices
    assert notice.audio_s * 1000 == 5_000 - started["audio_start_ms"]


def test_detection_that_is_turned_on_looks_at_what_is_there_already():
    harness = manual_client()
    harness.send(append(np.concatenate([silence(1.0), speech(1.0), silence(1.0)])))
    events = harness.send(update({"turn_detection": {"type": "server_vad"}}))
    assert kinds(events) == ["speech_started", "speech_stopped", *NEW_ITEM, "session.updated"]


def test_a_turn_found_in_what_was_there_has_a_stream_of_its_own():
    harness = manual_client(final_from_stream=True)
    harness.send(append(np.concatenate([silence(1.0), speech(1.0)])))
    assert set(kinds(harness.run_all())) == {"delta"}
    assert "speech_started" in kinds(harness.send(update({"turn_detection": {"type": "server_vad"}})))
    assert harness.session.next_work().step.start_frame == 0


def test_an_item_whose_speakers_are_asked_for_is_heard_as_a_whole():
    harness = manual_client(final_from_stream=True)
    asked = {"audio": {"input": {"transcription": {"model": "gpt-4o-transcribe-diarize"}}}}
    harness.send(append(speech(1.0)), COMMIT, update(asked), append(speech(1.0)), COMMIT)
    kinds_of_work = []
    while work := harness.session.next_work():
        kinds_of_work.append(type(work))
        harness.run(work)
    assert kinds_of_work[-1] is ItemWork
    assert set(kinds_of_work[:-1]) == {StepWork}
    assert texts(harness.received) == [expected_text(speech(1.0))] * 2


def test_a_change_holds_for_what_is_appended_later():
    harness = SessionHarness()
    spoken = np.concatenate([silence(1.0), speech(1.0), silence(0.3)])
    quick = {"type": "server_vad", "silence_duration_ms": 200}
    assert kinds(harness.send(append(spoken), update({"turn_detection": quick}))) == [
        "speech_started",
        "session.updated",
    ]
    assert kinds(harness.send(append(silence(0.2)))) == ["speech_stopped", *NEW_ITEM]


@pytest.mark.parametrize(("eagerness", "wait_s"), [("low", 8), ("medium", 4), ("auto", 4), ("high", 2)])
def test_semantic_detection_waits_as_long_as_its_eagerness(eagerness, wait_s):
    harness = SessionHarness()
    harness.send(update({"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}}))
    events = harness.send(append(np.concatenate([silence(1.0), speech(1.0), silence(10.0)])))
    assert only(events, "speech_stopped")["audio_end_ms"] == pytest.approx(2_000 + wait_s * 1_000, abs=32)


def sentences_step(work: StepWork) -> StepResult:
    """The played model's result of a step, with a full stop after each word."""
    result = step_result(work)
    tokens, ahead = (
        tuple(token._replace(piece=f"{token.piece}.") for token in each) for each in (result.tokens, result.lookahead)
    )
    return replace(result, tokens=tokens, lookahead=ahead)


@pytest.mark.parametrize(("eagerness", "pause_s"), [("low", 1.6), ("medium", 0.8), ("auto", 0.8), ("high", 0.6)])
def test_semantic_detection_waits_less_after_a_sentence(eagerness, pause_s):
    harness = SessionHarness(step=sentences_step)
    harness.send(update({"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}}))
    harness.send(append(np.concatenate([silence(1.0), speech(1.0)])))
    for _ in range(20):
        harness.run_all(0.08)
        harness.send(append(silence(0.1)))
    events = harness.received
    assert only(events, "speech_stopped")["audio_end_ms"] == pytest.approx(2_000 + pause_s * 1_000, abs=32)
    assert len(texts(events)) == 1


def test_a_sentence_ends_its_turn_also_if_its_text_comes_after_the_pause():
    harness = SessionHarness(step=sentences_step)
    harness.send(update({"turn_detection": {"type": "semantic_vad"}}))
    harness.send(append(np.concatenate([silence(1.0), speech(1.0), silence(1.5)])))
    assert "speech_stopped" not in kinds(harness.received)
    events = harness.run_all(0.08)
    assert only(events, "speech_stopped")["audio_end_ms"] == pytest.approx(2_800, abs=32)
    assert kinds(harness.send(append(speech(0.5)))) == ["speech_started"]


def test_a_text_that_ends_no_sentence_waits_for_the_longest_pause():
    harness = SessionHarness()
    harness.send(update({"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}))
    harness.send(append(np.concatenate([silence(1.0), speech(1.0)])))
    for _ in range(15):
        harness.run_all(0.08)
        harness.send(append(silence(0.1)))
    assert "speech_stopped" not in kinds(harness.received)
    harness.send(append(silence(1.0)))
    assert only(harness.received, "speech_stopped")["audio_end_ms"] == pytest.approx(4_000, abs=32)


def test_speech_after_the_sentence_keeps_the_turn_open():
    harness = SessionHarness(step=sentences_step)
    harness.send(update({"turn_detection": {"type": "semantic_vad"}}))
    harness.send(append(np.concatenate([silence(1.0), speech(1.0)])))
    for audio in (silence(0.5), speech(0.5)) * 3:
        harness.run_all(0.08)
        harness.send(append(audio))
    assert "speech_stopped" not in kinds(harness.received)


def test_other_turn_detection_does_not_read_the_text():
    harness = SessionHarness(step=sentences_step)
    harness.send(update({"turn_detection": {"type": "server_vad", "silence_duration_ms": 3000}}))
    harness.send(append(np.concatenate([silence(1.0), speech(1.0), silence(2.5)])))
    harness.run_all(0.08)
    assert "speech_stopped" not in kinds(harness.received)


# Formats


def test_a_format_that_is_named_late_still_holds_for_the_first_bytes():
    harness = SessionHarness(rate=24_000)
    harness.send(append(speech(0.5)))
    updated = harness.send(update({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}}))[-1]
    assert updated["session"]["audio"]["input"]["format"]["rate"] == 16_000
    harness.send(COMMIT)
    (notice,) = harness.notices
    assert notice.audio_s == 0.5


def test_after_a_second_of_audio_a_format_holds_for_what_follows():
    harness = manual_client(rate=16_000)
    harness.send(append(speech(1.0)))
    harness.send(update({"input_audio_format": "g711_ulaw"}), append(bytes(8_000)), COMMIT)
    (notice,) = harness.notices
    assert notice.audio_s == 2.0


def test_a_format_change_loses_nothing_of_either_side():
    harness = SessionHarness(rate=24_000)
    harness.send(manual(), append(pcm16(speech(1.5))))
    harness.send(update({"audio": {"input": {"format": {"type": "audio/pcmu"}}}}), append(bytes(8_000)), COMMIT)
    (notice,) = harness.notices
    assert notice.audio_s == 2.0


# The end of the session


def test_the_end_stops_and_commits_an_open_turn():
    harness = SessionHarness()
    audio = np.concatenate([silence(1.0), speech(1.0)])
    (started,) = harness.send(append(audio))
    harness.collect(harness.session.end())
    stopped, *item = harness.drain()
    assert kinds([stopped, *item]) == ["speech_stopped", *NEW_ITEM]
    assert (stopped["item_id"], stopped["audio_end_ms"]) == (started["item_id"], 2000)
    assert texts(harness.run_all()) == [expected_text(audio[started["audio_start_ms"] * 16 :])]


def test_the_end_takes_audio_that_nothing_has_decoded_yet():
    harness = SessionHarness()
    harness.send_only(append(np.concatenate([silence(0.2), speech(0.5)])))
    harness.collect(harness.session.end())
    assert kinds(harness.drain()) == ["speech_started", "speech_stopped", *NEW_ITEM]
    assert len(texts(harness.run_all())) == 1


@pytest.mark.parametrize("beta", [False, True])
def test_the_end_commits_speech_where_the_client_commits(beta):
    harness = manual_client(beta=beta)
    harness.send(append(speech(0.5)))
    harness.collect(harness.session.end())
    announced = ["committed", "conversation.item.created"] if beta else NEW_ITEM
    assert kinds(harness.drain()) == announced
    assert texts(harness.run_all()) == [expected_text(speech(0.5))]


def test_the_end_answers_a_client_of_the_simple_dialect_as_if_it_had_asked():
    harness = simple_client()
    harness.send(append(speech(0.5)))
    harness.collect(harness.session.end())
    events = [*harness.drain(), *harness.run_all()]
    assert kinds(events)[0] == "response.created"
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output_text"] == expected_text(speech(0.5))


@pytest.mark.parametrize(
    "audio", [silence(5), speech(0.09), np.concatenate([silence(2), speech(0.1)])], ids=["silence", "short", "click"]
)
def test_the_end_makes_no_item_of_what_holds_no_speech(audio):
    for harness in (manual_client(), simple_client()):
        harness.send(append(audio))
        harness.collect(harness.session.end())
        assert harness.drain() == []
    harness = SessionHarness()
    harness.send(append(silence(5)))
    harness.collect(harness.session.end())
    assert harness.drain() == []


def test_the_end_commits_what_was_shown_even_if_the_detector_hears_no_speech():
    harness = manual_client(step=sure_step)
    harness.send(append(faint(1.0)))
    assert [event for event in harness.run_all() if "delta" in event]
    harness.collect(harness.session.end())
    assert kinds(harness.drain()) == NEW_ITEM


def test_a_second_end_finds_nothing_to_commit():
    for harness in (SessionHarness(), manual_client(), simple_client()):
        harness.send(append(speech(1.0)))
        harness.collect(harness.session.end())
        assert harness.drain()
        harness.collect(harness.session.end())
        assert harness.drain() == []


def test_the_end_cancels_the_step_of_the_turn_that_it_commits():
    harness = SessionHarness()
    harness.send(append(speech(1.0)))
    step = harness.session.next_work()
    assert isinstance(step, StepWork)
    harness.collect(harness.session.end())
    assert harness.cancelled == [step]
    harness.finish(step, Cancelled())
    assert len(texts(harness.run_all())) == 1


# Live text


def shown(events: list[dict], item_id: str) -> list[str]:
    return [event["delta"] for event in events if "delta" in event and event["item_id"] == item_id]


def test_text_is_shown_while_it_is_spoken_with_the_id_that_the_item_will_have():
    harness = manual_client()
    deltas = []
    for _ in range(20):
        harness.send(append(speech(0.1)))
        deltas += harness.run_all()
    assert len(deltas) > 5
    item_id = only(harness.send(COMMIT), "committed")["item_id"]
    events = deltas + harness.run_all()
    assert "".join(shown(events, item_id)) == only(events, "completed")["transcript"] == expected_text(speech(2.0))


def test_deltas_come_between_the_start_of_a_turn_and_its_stop():
    harness = SessionHarness()
    events = []
    for audio in (silence(1.0), *[speech(0.2)] * 10, silence(1.0)):
        events += harness.send(append(audio)) + harness.run_all()
    names = kinds(events)
    assert names.index("speech_started") < names.index("delta") < names.index("speech_stopped")
    assert len({event["item_id"] for event in events if "item_id" in event}) == 1


def test_nothing_is_decoded_in_silence_between_turns():
    harness = SessionHarness(final_from_stream=True)
    harness.send(append(silence(5.0)))
    assert harness.session.next_work() is None


def test_no_text_is_shown_before_its_time_where_that_is_turned_off():
    harness = manual_client(partials=False)
    harness.send(append(speech(3.0)))
    assert harness.session.next_work() is None
    harness.send(COMMIT)
    assert kinds(harness.run_all()) == ["delta", "completed"]


def test_a_final_text_that_goes_otherwise_is_not_forced_into_deltas():
    harness = manual_client(final=lambda samples: Transcript("otherwise"))
    harness.send(append(speech(2.0)))
    assert kinds(harness.run_all())[0] == "delta"
    harness.send(COMMIT)
    assert kinds(harness.run_all()) == ["completed"]


@pytest.mark.parametrize("pieces_s", [0.001, 0.02, 0.1, 1.0, 3.0])
def test_the_text_of_the_stream_does_not_depend_on_how_audio_came(pieces_s):
    harness = manual_client(final_from_stream=True)
    wire = pcm16(clip("rhvoice-slt-1"))
    size = 2 * round(pieces_s * RATE)
    events = []
    for start in range(0, len(wire), size):
        events += harness.send(append(wire[start : start + size]))
        if harness.session.undecoded_s == 0 and start % (8 * size) == 0:
            events += harness.run_all()
    events += harness.send(COMMIT) + harness.run_all()
    assert texts(events) == [expected_text(clip("rhvoice-slt-1"))]
    assert "".join(event["delta"] for event in events if "delta" in event) == texts(events)[0]


def test_steps_have_the_audio_of_their_utterance():
    harness = SessionHarness(final_from_stream=True)
    audio = clip("rhvoice-slt-1")
    harness.send(manual(), append(audio), COMMIT)
    item = np.zeros(0, np.float32)
    while work := harness.session.next_work():
        step = work.step
        start = (step.start_frame - step.skip_frames) * 1280
        assert np.array_equal(step.samples, audio[start : start + len(step.samples)])
        item = np.concatenate([item[:start], step.samples])
        harness.run(work)
    assert np.array_equal(item, audio)


def test_live_text_that_lags_behind_catches_up_in_few_steps():
    harness = manual_client()
    harness.send(append(speech(30.0)))
    steps = 0
    while work := harness.session.next_work():
        assert work.step.take_frames * 0.08 <= CATCH_UP_S
        steps += 1
        harness.run(work)
    assert steps <= 5


def test_a_step_that_fails_costs_no_text():
    harness = manual_client()
    harness.send(append(speech(2.0)))
    assert harness.fail_next(QueueFull("Full.")) == []
    assert harness.session.next_work() is None, "it waits for more audio"
    harness.send(append(speech(0.5)))
    harness.run_all()
    harness.send(COMMIT)
    assert texts(harness.run_all()) == [expected_text(speech(2.5))]


def test_keywords_named_before_the_first_step_hold_for_the_utterance():
    harness = manual_client()
    harness.send(append(speech(0.2)))
    assert harness.session.next_work() is None
    harness.send(update({"audio": {"input": {"transcription": {"keywords": ["Parakeet"]}}}}), append(speech(2.0)))
    work = harness.session.next_work()
    assert isinstance(work, StepWork)
    assert work.step.keywords == ("Parakeet",)


def test_an_item_keeps_the_settings_of_its_commit():
    harness = manual_client(partials=False)
    harness.send(update({"audio": {"input": {"transcription": {"keywords": ["before"]}}}}), append(speech(0.5)), COMMIT)
    harness.send(update({"audio": {"input": {"transcription": {"keywords": ["after"]}}}}))
    work = harness.session.next_work()
    assert isinstance(work, ItemWork)
    assert work.item.config.keywords == ("before",)


def test_an_item_whose_step_fails_waits_for_those_before_it_to_fail_in_order():
    harness = manual_client(final_from_stream=True)
    harness.send(append(speech(2.0)))
    step = harness.session.next_work()
    first = only(harness.send(create(speech(0.5))), "committed")["item_id"]
    second = only(harness.send(COMMIT), "committed")["item_id"]
    harness.finish(step, QueueFull("Full."))
    ends = [event["item_id"] for event in [*harness.drain(), *harness.run_all()] if kinds([event]) == ["completed"]]
    assert ends == [first, second]


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_an_item_that_ends_before_its_last_step_is_complete_once_that_is_finished(is_cancelled):
    harness = SessionHarness(final_from_stream=True)
    patient, quick = ({"turn_detection": {"type": "server_vad", "silence_duration_ms": wait}} for wait in (4_000, 100))
    harness.send(update(patient), append(np.concatenate([silence(1.0), speech(1.0), silence(3.0)])))
    while (work := harness.session.next_work()) and work.step.start_frame < 25:
        harness.run(work)
    events = harness.send(update(quick), append(silence(0.1)))
    assert "committed" in kinds(events)
    assert "completed" not in kinds(events)
    harness.finish(work, Cancelled() if is_cancelled else step_result(cast(StepWork, work)))
    assert kinds(harness.drain())[-1] == "completed"
    assert harness.session.idle


def test_an_item_too_short_for_a_step_is_not_forgotten_behind_work_that_is_abandoned():
    harness = manual_client(final_from_stream=True)
    harness.send(append(speech(2.0)))
    step = harness.session.next_work()
    harness.send(CLEAR, append(speech(0.005)), RESPOND)
    harness.finish(step, Cancelled())
    assert harness.run_all() == []
    assert harness.session.idle
    assert harness.received[-1]["type"] == "response.completed"


def test_many_items_too_short_for_a_step_may_wait_for_one_long_one():
    harness = manual_client(final_from_stream=True)
    harness.send(append(speech(1.0)), COMMIT)
    for _ in range(400):
        harness.send(append(speech(0.005)), RESPOND)
    harness.run_all()
    assert harness.session.idle


# Live text that may be an invention


class Deaf(Loudness):
    """A speech detector that never hears speech."""

    def feed(self, samples):
        return np.zeros(len(samples) // FRAME_SAMPLES, np.float32)


def test_words_are_not_shown_where_the_detector_hears_nobody_and_the_final_may_deny_them():
    harness = manual_client(final=lambda samples: Transcript(""), new_speech_stream=Deaf)
    harness.send(update({"include": ["item.input_audio_transcription.hypothesis"]}), append(faint(2.0)))
    shown = [event for event in harness.run_all() if "delta" in event or "text" in event]
    events = [*harness.send(COMMIT), *harness.run_all()]
    assert shown == []
    assert texts(events) == [""]
    assert not [event for event in events if "delta" in event or event.get("text")]


def test_what_was_held_back_is_shown_once_somebody_speaks():
    heard = []

    class Hears(Loudness):
        def feed(self, samples):
            heard.append(len(samples))
            return super().feed(samples)

    harness = manual_client(new_speech_stream=Hears)
    harness.send(append(silence(1.0)))
    assert not [event for event in harness.run_all(0.08) if "delta" in event]
    harness.send(append(speech(1.0)))
    events = harness.run_all(0.08)
    checks = len(heard)
    harness.send(append(silence(5.0)))
    events += harness.run_all(0.08)
    assert len(heard) == checks, "the detector is not asked again"
    assert "".join(event["delta"] for event in events if "delta" in event).startswith("0 1 2")


def test_it_says_beforehand_whether_the_detector_may_be_asked_about_a_step():
    ears: list[type[Loudness]] = [Deaf]
    harness = manual_client(new_speech_stream=lambda: ears[-1]())
    asked = []

    def run_step() -> None:
        harness.send(append(speech(0.4)))
        work = cast("StepWork", harness.session.next_work(0.08))
        outcome = step_result(work)
        asked.append(harness.session.asks_detector(work, outcome))
        harness.finish(work, outcome)

    harness.send(append(speech(0.4)))
    work = cast("StepWork", harness.session.next_work(0.08))
    assert not harness.session.asks_detector(work, StepResult((), 1)), "there is no text"
    assert not harness.session.asks_detector(work, Cancelled())
    harness.send(CLEAR)
    assert not harness.session.asks_detector(work, step_result(work)), "nobody needs the text"
    harness.finish(work, Cancelled())
    run_step()
    ears.append(Loudness)
    run_step()
    run_step()
    assert asked == [True, True, False], "until it has heard speech"


def test_many_sure_words_need_no_detector():
    harness = manual_client(step=sure_step, new_speech_stream=Deaf)
    harness.send(append(speech(1.0)))
    assert [event for event in harness.run_all() if "delta" in event]


def test_a_turn_in_which_speech_was_heard_needs_no_second_look():
    harness = SessionHarness()
    harness.send(append(np.concatenate([silence(1.0), speech(1.0)])))
    harness.session._input._new_stream = None  # nothing asks for a stream
    assert [event for event in harness.run_all() if "delta" in event]


def test_text_that_is_final_as_it_is_is_shown_in_any_case():
    harness = manual_client(final_from_stream=True, new_speech_stream=Deaf)
    harness.send(append(faint(2.0)))
    assert [event for event in harness.run_all() if "delta" in event]


# Provisional words

ASK = {"include": ["item.input_audio_transcription.hypothesis"]}
STEP_S = 0.16


def speak(harness: SessionHarness, *audio: np.ndarray) -> list[dict]:
    """Send audio in pieces of 0.1 s, run all work after each, and return the events."""
    samples = np.concatenate(audio)
    events = []
    for start in range(0, len(samples), RATE // 10):
        events += harness.send(append(samples[start : start + RATE // 10])) + harness.run_all(STEP_S)
    return events


def hypotheses(events: list[dict]) -> list[str]:
    return [event["text"] for event in events if kinds([event]) == ["hypothesis"]]


def test_who_asks_gets_the_words_after_the_last_delta():
    harness = manual_client()
    harness.send(update(ASK))
    events = speak(harness, speech(2.0))
    text = ""
    for event in events:
        text += event.get("delta", "")
        if "text" in event:
            assert expected_text(speech(2.0)).startswith(text + event["text"])
    assert len(hypotheses(events)) > 5
    assert all(before != after for before, after in pairwise(hypotheses(events)))
    assert len({event["item_id"] for event in events}) == 1
    assert {event["content_index"] for event in events} == {0}


def test_a_step_shows_its_delta_before_its_hypothesis():
    harness = manual_client()
    harness.send(update(ASK), append(speech(1.0)))
    work = harness.session.next_work(STEP_S)
    assert work is not None
    harness.run(work)
    assert kinds(harness.drain()) == ["delta", "hypothesis"]


def test_who_does_not_ask_gets_no_hypothesis():
    harness = manual_client()
    assert set(kinds(speak(harness, speech(2.0)))) == {"delta"}
    assert "hypothesis" not in kinds(harness.send(COMMIT) + harness.run_all())


def test_a_hypothesis_that_stays_is_not_repeated():
    harness = manual_client(step=lambda work: StepResult((), work.step.start_frame, tokens_of(2)))
    harness.send(update(ASK))
    assert hypotheses(speak(harness, speech(2.0))) == ["0 1"]


@pytest.mark.parametrize("final", [transcript, lambda samples: Transcript("otherwise")], ids=["same", "other"])
def test_before_the_end_of_an_item_its_hypothesis_goes_and_none_follows(final):
    harness = manual_client(final=final)
    harness.send(update(ASK))
    assert hypotheses(speak(harness, speech(2.0)))[-1]
    events = harness.send(COMMIT) + harness.run_all()
    assert kinds(events)[-2:] == ["hypothesis", "completed"]
    assert hypotheses(events) == [""]


def test_before_a_failure_of_an_item_its_hypothesis_goes():
    harness = manual_client()
    harness.send(update(ASK))
    speak(harness, speech(2.0))
    harness.send(COMMIT)
    assert kinds(harness.fail_next(QueueFull("Full."))) == ["hypothesis", "failed"]


def test_an_item_of_the_stream_has_its_hypothesis_until_its_last_step():
    harness = manual_client(final_from_stream=True)
    harness.send(update(ASK))
    events = speak(harness, speech(2.0)) + harness.send(COMMIT) + harness.run_all()
    assert len(hypotheses(events)) > 5
    assert hypotheses(events)[-1] == ""
    assert kinds(events)[-1] == "completed"
    assert "".join(event.get("delta", "") for event in events) == texts(events)[0] == expected_text(speech(2.0))


@pytest.mark.parametrize("name", ["session.update", "transcription_session.update"])
def test_a_client_of_beta_may_ask(name):
    harness = SessionHarness(beta=True)
    (updated,) = harness.send(update(ASK | {"turn_detection": None}, name))
    assert updated["session"]["include"] == ASK["include"]
    assert hypotheses(speak(harness, speech(2.0)))


def test_a_client_of_the_simple_dialect_may_ask():
    harness = simple_client()
    harness.send(update(ASK | {"turn_detection": None}))
    assert hypotheses(speak(harness, speech(2.0)))
    assert kinds(harness.send(RESPOND) + harness.run_all())[-1] == "response.completed"


def test_a_temporary_key_may_ask_for_its_client():
    config = manual_client().session._config.updated(ASK, ServedModel("nvidia/parakeet", "1"), ("en",))
    assert hypotheses(speak(SessionHarness(config=config), speech(2.0)))


def test_a_client_may_ask_while_somebody_speaks_and_cease_to():
    harness = manual_client()
    assert hypotheses(speak(harness, speech(1.0))) == []
    harness.send(update(ASK))
    assert hypotheses(speak(harness, speech(1.0)))
    harness.send(update({"include": None}))
    assert hypotheses(speak(harness, speech(1.0))) == []


def test_who_ceases_to_ask_while_somebody_speaks_is_left_with_no_provisional_words():
    harness = manual_client()
    harness.send(update(ASK))
    assert hypotheses(speak(harness, speech(1.0)))[-1]
    events = harness.send(update({"include": None}))
    assert kinds(events) == ["hypothesis", "session.updated"]
    assert hypotheses(events) == [""]
    assert kinds(harness.send(update({"include": None}))) == ["session.updated"]


def test_without_partial_text_there_is_no_hypothesis():
    harness = manual_client(partials=False, final_from_stream=True)
    harness.send(update(ASK))
    events = speak(harness, speech(2.0)) + harness.send(COMMIT) + harness.run_all()
    assert hypotheses(events) == []


# Segments, words and log probabilities


def test_words_come_as_segments_before_the_end():
    harness = manual_client(partials=False)
    harness.send(
        update({"audio": {"input": {"transcription": {"timestamp_granularities": ["word"]}}}}),
        append(speech(0.24)),
        COMMIT,
    )
    events = harness.run_all()
    assert kinds(events) == ["delta", *["segment"] * 3, "completed"]
    assert [(event["text"], event["start"]) for event in events if "start" in event] == [
        ("0", 0.0),
        ("1", 0.08),
        ("2", 0.16),
    ]
    assert len({event["id"] for event in events if "start" in event}) == 3


def test_log_probabilities_come_where_they_are_asked_for():
    harness = manual_client()
    harness.send(update({"include": ["item.input_audio_transcription.logprobs"]}), append(speech(0.16)), COMMIT)
    assert only(harness.run_all(), "completed")["logprobs"] == [
        {"token": " 0", "logprob": -0.25, "bytes": [32, 48]},
        {"token": " 1", "logprob": -0.25, "bytes": [32, 49]},
    ]
    harness.send(update({"include": None}), append(speech(0.16)), COMMIT)
    assert "logprobs" not in only(harness.run_all(), "completed")


@pytest.mark.parametrize("language", [None, "en", "en-US", "English"])
def test_the_language_that_was_heard_is_on_the_text(language):
    harness = manual_client()
    harness.send(update({"audio": {"input": {"transcription": {"language": language}}}}))
    harness.send(append(speech(0.5)), COMMIT)
    assert only(harness.run_all(), "completed")["languages"] == [{"code": "en"}]


def test_of_a_text_without_words_no_language_was_heard():
    harness = manual_client(final=lambda samples: Transcript(""))
    harness.send(append(silence(0.5)), COMMIT)
    assert only(harness.run_all(), "completed")["languages"] == []


def test_beta_has_no_such_field():
    harness = manual_client(beta=True)
    harness.send(append(speech(0.5)), COMMIT)
    assert "languages" not in only(harness.run_all(), "completed")


# Creating, retrieving and deleting items


def test_a_created_item_is_appended_and_committed_at_once_and_leaves_the_buffer_alone():
    harness = manual_client(partials=False)
    harness.send(append(speech(0.5)))
    events = harness.send(create(speech(0.3), id="mine"))
    assert kinds(events) == NEW_ITEM
    assert events[0]["item_id"] == "mine"
    harness.send(COMMIT)
    assert texts(harness.run_all()) == [expected_text(speech(0.3)), expected_text(speech(0.5))]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (create(speech(0.05)), EMPTY),
        (create(speech(3.0)), "input_audio_buffer_full"),
        (create(speech(0.5), id="taken"), "invalid_value"),
        (create(speech(0.5), content=[{"type": "input_text", "text": "Hello"}]), "invalid_value"),
        (create(speech(0.5), content=[]), "invalid_value"),
    ],
)
def test_an_invalid_item_is_rejected(item, expected):
    harness = manual_client(max_audio_s=2)
    harness.send(create(speech(0.5), id="taken"))
    assert code(harness.send(item | {"event_id": "mine"})) == expected
    assert harness.received[-1]["error"]["event_id"] == "mine"


def test_the_id_of_what_is_still_under_way_cannot_be_given_again():
    harness = SessionHarness()
    harness.send(create(speech(0.5), id="mine"))
    assert kinds(harness.send({"type": "conversation.item.delete", "item_id": "mine"})) == ["conversation.item.deleted"]
    assert code(harness.send(create(speech(0.3), id="mine"))) == "invalid_value"
    spoken = only(harness.send(append(speech(1.0))), "speech_started")["item_id"]
    assert code(harness.send(create(speech(0.3), id=spoken))) == "invalid_value"
    assert texts(harness.run_all())[0] == expected_text(speech(0.5))
    assert kinds(harness.send(create(speech(0.3), id="mine"))) == NEW_ITEM


def test_an_item_can_be_looked_up_and_deleted():
    harness = manual_client()
    item_id = only(harness.send(append(speech(0.3)), COMMIT), "committed")["item_id"]
    look_up = {"type": "conversation.item.retrieve", "item_id": item_id, "event_id": "mine"}

    def text() -> str | None:
        return only(harness.send(look_up), "conversation.item.retrieved")["item"]["content"][0]["transcript"]

    assert text() is None
    harness.run_all()
    assert text() == expected_text(speech(0.3))
    assert kinds(harness.send(look_up | {"type": "conversation.item.delete"})) == ["conversation.item.deleted"]
    (error,) = harness.send(look_up)
    assert (error["error"]["code"], error["error"]["param"]) == ("item_not_found", "item_id")
    assert error["error"]["event_id"] == "mine"


# When waiting audio should be decoded

PIECE_S = 0.02


def appended_until_due(harness: SessionHarness, limit_s: float) -> float:
    """Append speech in small pieces until it should be decoded, and return its length in seconds."""
    for pieces in range(1, round(limit_s / PIECE_S) + 1):
        harness.send_only(append(speech(PIECE_S)))
        if harness.session.audio_due():
            return pieces * PIECE_S
    raise AssertionError("it is never due")


def test_audio_for_turn_detection_is_due_after_a_few_of_its_frames():
    harness = SessionHarness()
    harness.send(update({}))
    assert not harness.session.audio_due()
    assert appended_until_due(harness, 1.0) == pytest.approx(0.1)
    harness.collect(harness.session.process_audio())
    assert not harness.session.audio_due()


def test_audio_without_turn_detection_is_due_with_the_next_step():
    harness = manual_client()
    first_s = WINDOWING.first_frames * FRAME_S + WINDOWING.right_s
    assert appended_until_due(harness, 2.0) == pytest.approx(first_s)
    harness.collect(harness.session.process_audio())
    work = harness.session.next_work()
    assert isinstance(work, StepWork)
    harness.run(work)
    assert appended_until_due(harness, 2.0) == pytest.approx(WINDOWING.chunk_s)


def test_audio_that_no_step_needs_is_due_after_a_second():
    harness = manual_client(partials=False)
    assert appended_until_due(harness, 2.0) == pytest.approx(1.0)


def test_after_a_failed_step_audio_is_due_with_the_next_attempt():
    harness = manual_client()
    harness.send(append(speech(1.0)))
    harness.fail_next(QueueFull("Full."))
    assert appended_until_due(harness, 2.0) == pytest.approx(WINDOWING.chunk_s)


def test_the_first_audio_is_not_due_before_its_format_is_certain():
    harness = SessionHarness()
    assert appended_until_due(harness, 2.0) == pytest.approx(1.0)


def test_a_step_has_how_much_audio_came_after_its_window_and_the_session_how_much_came():
    harness = manual_client()
    harness.send(append(speech(1.0)))
    harness.send_only(append(speech(0.3)))
    work = harness.session.next_work()
    assert isinstance(work, StepWork)
    assert work.beyond_s == pytest.approx(1.3 - work.step.end_s)
    harness.run(work)
    harness.send(CLEAR, append(speech(0.1)))
    assert harness.session.received_s == pytest.approx(1.4)


def test_a_step_of_an_item_has_how_much_of_that_comes_after_its_window():
    harness = manual_client(final_from_stream=True)
    harness.send(append(speech(1.0)), COMMIT, append(speech(0.5)))
    beyond = []
    while work := harness.session.next_work():
        assert isinstance(work, StepWork)
        beyond.append(work.beyond_s)
        assert work.beyond_s == pytest.approx(1.0 - work.step.end_s)
        harness.run(work)
        if harness.session.idle:
            break
    assert beyond[-1] == 0


# Errors


def test_an_invalid_change_changes_nothing():
    harness = SessionHarness()
    bad = {"turn_detection": None, "audio": {"input": {"format": {"type": "audio/opus"}}}}
    (error,) = harness.send(update(bad) | {"event_id": "mine"})
    assert error["error"]["param"] == "session.audio.input.format.type"
    assert error["error"]["event_id"] == "mine"
    (now,) = harness.send(update({}))
    assert now["session"] == harness.received[0]["session"]


@pytest.mark.parametrize("nonsense", ["", "nonsense", "[]", "{}", b"[]", '{"type":"no.such"}', "[" * 500])
def test_nonsense_is_answered_and_the_session_goes_on(nonsense):
    harness = manual_client()
    assert kinds(harness.send(nonsense)) == ["error"]
    assert kinds(harness.send(append(speech(0.3)), COMMIT)) == NEW_ITEM


def test_what_concerns_an_assistant_is_ignored():
    harness = SessionHarness()
    for kind in ("response.cancel", "output_audio_buffer.clear", "conversation.item.truncate"):
        assert harness.send({"type": kind}) == []
