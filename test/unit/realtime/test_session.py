"""A session by its events alone: what a client reads, in which order, and what is asked of the model."""

import base64

import numpy as np
import pytest
from media import clip, resampled
from session_harness import (
    CLEAR,
    COMMIT,
    RATE,
    RESPOND,
    Played,
    append,
    kinds,
    manual,
    only,
    pcm16,
    silence,
    speech,
    texts,
    transcript,
    update,
)

from src.audio.vad import SpeechDetector, run_detection
from src.errors import QueueFull
from src.memory.budget import Budget
from src.memory.plan import AUDIO_BYTES_PER_S
from src.realtime.audio_input import SLICE_S
from src.realtime.outputs import ItemCommitted, ItemWork, StepWork
from src.realtime.session import CATCH_UP_S, Session
from src.text.transcript import Transcript

ITEM = ["committed", "conversation.item.added", "conversation.item.done"]
EMPTY = "input_audio_buffer_commit_empty"


def by_hand(**how) -> Played:
    """A client that commits by itself."""
    played = Played(**how)
    played.send(manual())
    return played


def simple(**how) -> Played:
    """A client of the simple dialect."""
    return Played(transcription=False, **how)


def create(audio: np.ndarray, **item) -> dict:
    content = [{"type": "input_audio", "audio": base64.b64encode(pcm16(audio)).decode()}]
    return {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content} | item}


def text_of(samples: np.ndarray) -> str:
    return transcript(samples).text


def code(told: list[dict]) -> str:
    return only(told, "error")["error"]["code"]


# The beginning


def test_the_first_event_is_the_session_as_it_is():
    (created,) = Played(rate=24_000).told
    assert created["type"] == "session.created"
    assert created["session"]["id"] == "sess_1"
    assert created["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
    assert created["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"


@pytest.mark.parametrize("intent", [True, False])
def test_a_beta_client_reads_beta_names_and_the_flat_shape(intent):
    (created,) = Played(beta=True, intent=intent).told
    assert created["type"] == ("transcription_session.created" if intent else "session.created")
    assert created["session"]["input_audio_format"] == "pcm16"


def test_a_client_of_the_simple_dialect_has_no_turn_detection_until_it_changes_the_session():
    played = simple()
    assert played.told[0]["session"]["audio"]["input"]["turn_detection"] is None
    (updated,) = played.send(update({}))
    assert updated["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"


@pytest.mark.parametrize("name", ["session.update", "transcription_session.update"])
def test_a_change_is_answered_by_its_own_name(name):
    (told,) = Played().send(update({"turn_detection": None}, name))
    assert told["type"] == f"{name}d"
    assert ("audio" in told["session"]) == (name == "session.update")


# Commits by hand


def test_a_commit_is_announced_transcribed_and_completed():
    played = by_hand(partials=False)
    assert played.send(append(speech(1.2))) == []
    told = played.send(COMMIT)
    assert kinds(told) == ITEM
    committed, added, done = told
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
    delta, completed = played.rest()
    assert delta["delta"] == completed["transcript"] == text_of(speech(1.2))
    assert {delta["item_id"], completed["item_id"]} == {item_id}
    assert completed["usage"] == {"type": "duration", "seconds": 2}


def test_a_beta_client_reads_one_event_for_an_item():
    played = Played(beta=True)
    played.send(update({"turn_detection": None}), append(speech(0.5)))
    assert kinds(played.send(COMMIT)) == ["committed", "conversation.item.created"]


def test_items_name_the_one_before():
    played = by_hand()
    ids = []
    for _ in range(3):
        committed = only(played.send(append(speech(0.3)), COMMIT), "committed")
        assert committed["previous_item_id"] == (ids[-1] if ids else None)
        ids.append(committed["item_id"])
    completed = [event for event in played.rest() if "transcript" in event]
    assert [event["item_id"] for event in completed] == ids


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.099])
def test_a_commit_of_next_to_nothing_is_an_error_that_names_its_event(seconds):
    played = by_hand()
    (error,) = played.send(append(speech(seconds)), COMMIT | {"event_id": "mine"})
    assert error["error"] == {
        "type": "invalid_request_error",
        "code": EMPTY,
        "message": "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
        f"but buffer only has {seconds * 1000:.2f}ms of audio.",
        "param": None,
        "event_id": "mine",
    }


def test_audio_that_was_too_little_stays_for_the_next_commit():
    played = by_hand()
    assert code(played.send(append(speech(0.06)), COMMIT)) == EMPTY
    played.send(append(speech(0.06)), COMMIT)
    assert texts(played.rest()) == [text_of(speech(0.12))]


def test_a_tenth_of_a_second_is_enough():
    assert kinds(by_hand().send(append(speech(0.1)), COMMIT)) == ITEM


def test_an_empty_item_has_an_empty_transcript_and_no_delta():
    played = by_hand(final=lambda samples: Transcript(""))
    played.send(append(silence(0.15)), COMMIT)
    (completed,) = played.rest()
    assert completed["transcript"] == ""


def test_an_item_that_fails_says_so_and_the_next_one_goes_on():
    played = by_hand()
    first = only(played.send(append(speech(0.3)), COMMIT), "committed")
    played.send(append(speech(0.5)), COMMIT)
    (failed,) = played.fail(QueueFull("The queue is full."))
    assert failed["item_id"] == first["item_id"]
    assert failed["error"] == {
        "type": "rate_limit_exceeded",
        "code": "queue_full",
        "message": "The queue is full.",
        "param": None,
    }
    assert texts(played.rest()) == [text_of(speech(0.5))]


def test_odd_bytes_are_carried_to_the_next_append():
    played = by_hand()
    audio = clip("rhvoice-slt-1")
    wire = pcm16(audio)
    for start in range(0, len(wire), 1001):
        played.send(append(wire[start : start + 1001]))
    played.send(COMMIT)
    assert np.array_equal(played.session.next_work().item.samples, audio)


def test_work_that_was_not_done_is_asked_for_again():
    played = by_hand()
    played.send(append(speech(0.3)), COMMIT)
    work = played.session.next_work()
    assert played.session.next_work() is None
    assert played.session.abandoned(work) == []
    assert texts(played.rest()) == [text_of(speech(0.3))]


def test_more_than_the_buffer_holds_is_refused_and_what_it_holds_stays():
    played = by_hand(max_audio_s=2)
    assert played.send(append(speech(1.5))) == []
    assert code(played.send(append(speech(0.6)))) == "input_audio_buffer_full"
    assert played.send(append(speech(0.5))) == []
    played.send(COMMIT)
    assert texts(played.rest()) == [text_of(speech(2.0))]
    assert played.send(append(speech(2.0))) == []


def test_the_audio_of_all_sessions_has_a_budget_and_what_does_not_fit_is_refused():
    budget = Budget(10 * AUDIO_BYTES_PER_S)
    one, other = by_hand(budget=budget), by_hand(budget=budget)
    assert one.send(append(speech(6))) == []
    refused = only(other.send(append(speech(5)) | {"event_id": "mine"}), "error")["error"]
    assert (refused["code"], refused["type"]) == ("queue_full", "rate_limit_exceeded")
    assert (refused["event_id"], refused["param"]) == ("mine", "audio")
    assert code(other.send(create(speech(5)))) == "queue_full"
    assert other.send(append(speech(4))) == []
    one.send(COMMIT)
    assert code(other.send(append(speech(1)))) == "queue_full", "committed audio is there until it has its text"
    assert texts(one.rest()) == [text_of(speech(6))]
    assert other.send(append(speech(1))) == []
    other.send(COMMIT)
    assert texts(other.rest()) == [text_of(speech(5))]
    assert budget.reserved_bytes == 0


@pytest.mark.parametrize("detection", [None, {"type": "server_vad"}])
def test_audio_counts_until_it_is_forgotten_however_that_comes(detection):
    budget = Budget(1 << 40)
    played = Played(budget=budget)
    played.send(update({"turn_detection": detection}), append(silence(5)))
    assert budget.reserved_bytes == 5 * AUDIO_BYTES_PER_S
    played.send(CLEAR)
    assert budget.reserved_bytes == 0
    played.send(append(silence(60)))
    assert budget.reserved_bytes <= (60 if detection is None else 11) * AUDIO_BYTES_PER_S
    played.send(CLEAR, create(speech(2)))
    assert budget.reserved_bytes == 2 * AUDIO_BYTES_PER_S
    played.fail(QueueFull("no"))
    assert budget.reserved_bytes == 0


def test_a_turn_that_others_leave_no_room_for_is_told_so_and_goes_on_with_what_fits():
    budget = Budget(20 * AUDIO_BYTES_PER_S, shares=2)  # 5 s are everybody's
    hoarder, speaker = by_hand(budget=budget), Played(budget=budget)
    assert hoarder.send(append(speech(15))) == []
    told = speaker.send(*(append(speech(0.5)) for _ in range(12)))
    assert kinds(told) == ["speech_started", "error", "error"]
    assert kinds(speaker.send(append(silence(0.5)))) == ["error"]
    speaker.send(COMMIT)
    assert texts(speaker.rest()) == [text_of(speech(5))]
    assert speaker.send(append(silence(1))) == []


def test_what_came_before_its_format_was_known_may_not_be_more_than_the_buffer_holds_in_it():
    played = Played(rate=24_000, max_audio_s=2)
    update = {
        "type": "session.update",
        "session": {"audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}}},
    }
    assert played.send(append(speech(0.8))) == []  # at 8 kHz and a byte for each sample, this is much longer
    assert code(played.send(update)) == "input_audio_buffer_full"
    played.send(COMMIT)
    assert played.session.next_work().item.audio_s < 1


def test_silence_may_last_for_ever_where_the_client_commits_by_hand():
    """Some clients send all that their microphone gives, and commit once somebody has spoken."""
    played = by_hand(max_audio_s=10)
    for _ in range(50):
        assert played.send(append(silence(1.0))) == []
    assert played.send(append(speech(5.0)), append(silence(2.0))) == []
    played.send(COMMIT)
    [item] = [notice for notice in played.notices if isinstance(notice, ItemCommitted)]
    assert 8 <= item.audio_s <= 10


def test_a_client_far_ahead_of_the_model_is_made_to_wait():
    played = by_hand(max_audio_s=2)
    played.send(append(speech(1.5)), COMMIT)
    assert not played.session.backlogged
    played.send(append(speech(1.5)), COMMIT)
    assert played.session.backlogged
    played.rest()
    assert not played.session.backlogged


# Clear


def test_clear_forgets_what_is_not_committed_and_nothing_else():
    played = by_hand()
    played.send(append(speech(0.5)), COMMIT)
    assert kinds(played.send(append(speech(1.0)), CLEAR)) == ["cleared"]
    assert code(played.send(COMMIT)) == EMPTY
    assert texts(played.rest()) == [text_of(speech(0.5))]


def test_clear_in_a_turn_ends_it_without_an_item_and_the_clock_goes_on():
    played = Played()
    told = played.send(append(speech(2.0)), CLEAR)
    assert kinds(told) == ["speech_started", "cleared"]
    told = played.send(append(silence(1.0)), append(speech(1.0)))
    assert only(told, "speech_started")["audio_start_ms"] in range(2_600, 3_000)
    assert only(told, "speech_started")["item_id"] != played.told[1]["item_id"]


def test_a_step_for_what_was_cleared_is_of_no_use_and_shows_nothing():
    played = by_hand()
    played.send(append(speech(2.0)))
    work = played.session.next_work()
    assert played.session.wants(work)
    played.send(CLEAR)
    assert not played.session.wants(work)
    played.do(work)
    assert played.fresh() == []


# Turns


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def test_a_turn_is_told_and_becomes_an_item_with_the_same_id():
    played = Played()
    told = played.send(append(np.concatenate([silence(2.0), speech(1.0), silence(1.0)])))
    assert kinds(told) == ["speech_started", "speech_stopped", *ITEM]
    started, stopped, committed, added, done = told
    ids = {started["item_id"], stopped["item_id"], committed["item_id"], added["item"]["id"], done["item"]["id"]}
    assert len(ids) == 1
    assert started["audio_start_ms"] == pytest.approx(1_700, abs=32)
    assert stopped["audio_end_ms"] == pytest.approx(3_500, abs=32)
    (item,) = played.notices
    assert item.audio_s * 1000 == pytest.approx(stopped["audio_end_ms"] - started["audio_start_ms"], abs=1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
def test_real_speech_is_found_where_it_is_at_any_rate(detector, rate):
    played = Played(rate=rate, listen=detector.new_stream)
    audio = np.concatenate([silence(1.5), clip("piper-joe-1"), silence(1.5)])
    told = []
    wire = pcm16(resampled(audio, rate))
    for start in range(0, len(wire), rate // 5):
        told += played.send(append(wire[start : start + rate // 5]))
    starts = [event["audio_start_ms"] for event in told if "audio_start_ms" in event]
    ends = [event["audio_end_ms"] for event in told if "audio_end_ms" in event]
    spans = run_detection(detector.spans(audio))
    assert starts[0] == pytest.approx(spans[0].start_s * 1000 - 300, abs=100)
    assert ends[-1] == pytest.approx(spans[-1].end_s * 1000 + 500, abs=100)
    assert texts(played.rest())


def test_noise_is_no_turn(detector):
    played = Played(listen=detector.new_stream)
    assert played.send(append(clip("noise-pink-4s")), append(clip("noise-hum-2s"))) == []


def test_a_commit_by_hand_takes_open_speech_without_a_stop():
    played = Played()
    started = only(played.send(append(silence(1.0)), append(speech(1.0))), "speech_started")
    told = played.send(COMMIT)
    assert kinds(told) == ITEM
    assert told[0]["item_id"] == started["item_id"]
    later = played.send(append(speech(0.5)))
    assert only(later, "speech_started")["audio_start_ms"] == 2_000


def test_a_commit_right_after_a_turn_finds_nothing_to_take():
    played = Played()
    played.send(append(np.concatenate([silence(1.0), speech(1.0), silence(1.0)])))
    assert code(played.send(COMMIT)) == EMPTY
    assert code(played.send(append(silence(5.0)), COMMIT)) == EMPTY


def test_silence_in_which_nothing_was_ever_detected_can_be_committed():
    played = Played()
    assert kinds(played.send(append(silence(2.0)), COMMIT)) == ITEM
    played.rest()
    assert kinds(played.send(append(silence(0.5)), COMMIT)) == ITEM


def test_of_endless_silence_only_the_end_is_kept():
    played = Played()
    played.send(*[append(silence(5.0))] * 10, COMMIT)
    (notice,) = played.notices
    assert notice.audio_s == 10


def test_an_endless_turn_is_cut_and_goes_on():
    played = Played(max_audio_s=20)
    told = played.send(append(speech(50)))
    assert kinds(told) == ["speech_started", "speech_stopped", *ITEM] * 2 + ["speech_started"]
    assert [notice.audio_s for notice in played.notices] == [20, 20]
    assert [event["audio_start_ms"] for event in told if "audio_start_ms" in event] == [0, 20_000, 40_000]


def test_nobody_speaking_is_a_timeout_and_an_item():
    played = Played()
    played.send(update({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5_000}}))
    told = played.send(append(silence(6.0)))
    assert kinds(told) == ["timeout_triggered", *ITEM]
    assert (told[0]["audio_start_ms"], told[0]["audio_end_ms"]) == (0, 5_000)
    assert told[0]["item_id"] == told[1]["item_id"]


def test_silence_counts_from_the_moment_that_a_timeout_is_asked_for():
    played = Played()
    played.send(*[append(silence(5.0))] * 8)
    told = played.send(update({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5_000}}))
    assert kinds(told) == ["session.updated"]
    assert played.send(append(silence(4.0))) == []
    assert kinds(played.send(append(silence(1.1)))) == ["timeout_triggered", *ITEM]
    assert [notice.audio_s for notice in played.notices] == [5.0]


def test_no_timeout_makes_a_session_hold_more_than_it_may():
    played = Played(max_audio_s=20)
    played.send(update({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 60_000}}))
    assert kinds(played.send(append(silence(61.0)))) == ["timeout_triggered", *ITEM]
    (notice,) = played.notices
    assert notice.audio_s <= 20 + SLICE_S


def test_detection_that_is_turned_off_leaves_the_turn_to_the_client():
    played = Played()
    started = only(played.send(append(silence(1.0)), append(speech(1.0))), "speech_started")
    played.send(manual())
    assert played.send(append(silence(3.0))) == []
    assert only(played.send(COMMIT), "committed")["item_id"] == started["item_id"]
    (notice,) = played.notices
    assert notice.audio_s * 1000 == 5_000 - started["audio_start_ms"]


def test_detection_that_is_turned_on_looks_at_what_is_there_already():
    played = by_hand()
    played.send(append(np.concatenate([silence(1.0), speech(1.0), silence(1.0)])))
    told = played.send(update({"turn_detection": {"type": "server_vad"}}))
    assert kinds(told) == ["speech_started", "speech_stopped", *ITEM, "session.updated"]


def test_a_turn_found_in_what_was_there_has_a_stream_of_its_own():
    played = by_hand(final_from_stream=True)
    played.send(append(np.concatenate([silence(1.0), speech(1.0)])))
    assert set(kinds(played.rest())) == {"delta"}
    assert "speech_started" in kinds(played.send(update({"turn_detection": {"type": "server_vad"}})))
    assert played.session.next_work().step.start_frame == 0


def test_a_change_holds_for_what_is_appended_later():
    played = Played()
    spoken = np.concatenate([silence(1.0), speech(1.0), silence(0.3)])
    quick = {"type": "server_vad", "silence_duration_ms": 200}
    assert kinds(played.send(append(spoken), update({"turn_detection": quick}))) == [
        "speech_started",
        "session.updated",
    ]
    assert kinds(played.send(append(silence(0.2)))) == ["speech_stopped", *ITEM]


@pytest.mark.parametrize(("eagerness", "wait_s"), [("low", 8), ("medium", 4), ("auto", 4), ("high", 2)])
def test_semantic_detection_waits_as_long_as_its_eagerness(eagerness, wait_s):
    played = Played()
    played.send(update({"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}}))
    told = played.send(append(np.concatenate([silence(1.0), speech(1.0), silence(10.0)])))
    assert only(told, "speech_stopped")["audio_end_ms"] == pytest.approx(2_000 + wait_s * 1_000, abs=32)


# Formats


def test_a_format_that_is_named_late_still_holds_for_the_first_bytes():
    played = Played(rate=24_000)
    played.send(append(speech(0.5)))
    updated = played.send(update({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}}))[-1]
    assert updated["session"]["audio"]["input"]["format"]["rate"] == 16_000
    played.send(COMMIT)
    (notice,) = played.notices
    assert notice.audio_s == 0.5


def test_after_a_second_of_audio_a_format_holds_for_what_follows():
    played = by_hand(rate=16_000)
    played.send(append(speech(1.0)))
    played.send(update({"input_audio_format": "g711_ulaw"}), append(bytes(8_000)), COMMIT)
    (notice,) = played.notices
    assert notice.audio_s == 2.0


def test_a_format_change_loses_nothing_of_either_side():
    played = Played(rate=24_000)
    played.send(manual(), append(pcm16(speech(1.5))))
    played.send(update({"audio": {"input": {"format": {"type": "audio/pcmu"}}}}), append(bytes(8_000)), COMMIT)
    (notice,) = played.notices
    assert notice.audio_s == 2.0


# Live text


def shown(told: list[dict], item_id: str) -> list[str]:
    return [event["delta"] for event in told if "delta" in event and event["item_id"] == item_id]


def test_text_is_shown_while_it_is_spoken_with_the_id_that_the_item_will_have():
    played = by_hand()
    deltas = []
    for _ in range(20):
        played.send(append(speech(0.1)))
        deltas += played.rest()
    assert len(deltas) > 5
    item_id = only(played.send(COMMIT), "committed")["item_id"]
    told = deltas + played.rest()
    assert "".join(shown(told, item_id)) == only(told, "completed")["transcript"] == text_of(speech(2.0))


def test_deltas_come_between_the_start_of_a_turn_and_its_stop():
    played = Played()
    told = []
    for audio in (silence(1.0), *[speech(0.2)] * 10, silence(1.0)):
        told += played.send(append(audio)) + played.rest()
    names = kinds(told)
    assert names.index("speech_started") < names.index("delta") < names.index("speech_stopped")
    assert len({event["item_id"] for event in told if "item_id" in event}) == 1


def test_nothing_is_decoded_in_silence_between_turns():
    played = Played(final_from_stream=True)
    played.send(append(silence(5.0)))
    assert played.session.next_work() is None


def test_no_text_is_shown_before_its_time_where_that_is_turned_off():
    played = by_hand(partials=False)
    played.send(append(speech(3.0)))
    assert played.session.next_work() is None
    played.send(COMMIT)
    assert kinds(played.rest()) == ["delta", "completed"]


def test_a_final_text_that_goes_otherwise_is_not_forced_into_deltas():
    played = by_hand(final=lambda samples: Transcript("otherwise"))
    played.send(append(speech(2.0)))
    assert kinds(played.rest())[0] == "delta"
    played.send(COMMIT)
    assert kinds(played.rest()) == ["completed"]


@pytest.mark.parametrize("pieces_s", [0.001, 0.02, 0.1, 1.0, 3.0])
def test_the_text_of_the_stream_does_not_depend_on_how_audio_came(pieces_s):
    played = by_hand(final_from_stream=True)
    wire = pcm16(clip("rhvoice-slt-1"))
    size = 2 * round(pieces_s * RATE)
    told = []
    for start in range(0, len(wire), size):
        told += played.send(append(wire[start : start + size]))
        if played.session.waiting_s == 0 and start % (8 * size) == 0:
            told += played.rest()
    told += played.send(COMMIT) + played.rest()
    assert texts(told) == [text_of(clip("rhvoice-slt-1"))]
    assert "".join(event["delta"] for event in told if "delta" in event) == texts(told)[0]


def test_steps_have_the_audio_of_their_utterance():
    played = Played(final_from_stream=True)
    audio = clip("rhvoice-slt-1")
    played.send(manual(), append(audio), COMMIT)
    item = np.zeros(0, np.float32)
    while work := played.session.next_work():
        step = work.step
        start = (step.start_frame - step.skip_frames) * 1280
        assert np.array_equal(step.samples, audio[start : start + len(step.samples)])
        item = np.concatenate([item[:start], step.samples])
        played.do(work)
    assert np.array_equal(item, audio)


def test_live_text_that_lags_behind_catches_up_in_few_steps():
    played = by_hand()
    played.send(append(speech(30.0)))
    steps = 0
    while work := played.session.next_work():
        assert work.step.take_frames * 0.08 <= CATCH_UP_S
        steps += 1
        played.do(work)
    assert steps <= 5


def test_a_step_that_fails_costs_no_text():
    played = by_hand()
    played.send(append(speech(2.0)))
    assert played.fail(QueueFull("Full.")) == []
    assert played.session.next_work() is None, "it waits for more audio"
    played.send(append(speech(0.5)))
    played.rest()
    played.send(COMMIT)
    assert texts(played.rest()) == [text_of(speech(2.5))]


def test_hot_words_named_before_the_first_step_hold_for_the_utterance():
    played = by_hand()
    played.send(append(speech(0.2)))
    assert played.session.next_work() is None
    played.send(update({"audio": {"input": {"transcription": {"keywords": ["Parakeet"]}}}}), append(speech(2.0)))
    work = played.session.next_work()
    assert isinstance(work, StepWork)
    assert work.step.keywords == ("Parakeet",)


def test_an_item_keeps_the_settings_of_its_commit():
    played = by_hand(partials=False)
    played.send(update({"audio": {"input": {"transcription": {"keywords": ["before"]}}}}), append(speech(0.5)), COMMIT)
    played.send(update({"audio": {"input": {"transcription": {"keywords": ["after"]}}}}))
    work = played.session.next_work()
    assert isinstance(work, ItemWork)
    assert work.item.config.keywords == ("before",)


def test_an_item_whose_step_fails_waits_for_those_before_it_to_fail_in_order():
    played = by_hand(final_from_stream=True)
    played.send(append(speech(2.0)))
    step = played.session.next_work()
    first = only(played.send(create(speech(0.5))), "committed")["item_id"]
    second = only(played.send(COMMIT), "committed")["item_id"]
    played.take_note(played.session.failed(step, QueueFull("Full.")))
    ends = [event["item_id"] for event in [*played.fresh(), *played.rest()] if kinds([event]) == ["completed"]]
    assert ends == [first, second]


@pytest.mark.parametrize("how", ["abandoned", "heard"])
def test_an_item_that_ends_before_its_last_step_is_complete_when_that_is_back(how):
    played = Played(final_from_stream=True)
    patient, quick = ({"turn_detection": {"type": "server_vad", "silence_duration_ms": wait}} for wait in (4_000, 100))
    played.send(update(patient), append(np.concatenate([silence(1.0), speech(1.0), silence(3.0)])))
    while (work := played.session.next_work()) and work.step.start_frame < 25:
        played.do(work)
    told = played.send(update(quick), append(silence(0.1)))
    assert "committed" in kinds(told)
    assert "completed" not in kinds(told)
    if how == "heard":
        played.do(work)
    else:
        played.take_note(played.session.abandoned(work))
    assert kinds(played.fresh())[-1] == "completed"
    assert played.session.idle


def test_an_item_too_short_for_a_step_is_not_forgotten_behind_work_that_is_abandoned():
    played = by_hand(final_from_stream=True)
    played.send(append(speech(2.0)))
    step = played.session.next_work()
    played.send(CLEAR, append(speech(0.005)), RESPOND)
    played.take_note(played.session.abandoned(step))
    assert played.rest() == []
    assert played.session.idle
    assert played.told[-1]["type"] == "response.completed"


def test_many_items_too_short_for_a_step_may_wait_for_one_long_one():
    played = by_hand(final_from_stream=True)
    played.send(append(speech(1.0)), COMMIT)
    for _ in range(600):
        played.send(append(speech(0.005)), RESPOND)
    played.rest()
    assert played.session.idle


# Timed parts and probabilities


def test_words_come_as_segments_before_the_end():
    played = by_hand(partials=False)
    played.send(
        update({"audio": {"input": {"transcription": {"timestamp_granularities": ["word"]}}}}),
        append(speech(0.24)),
        COMMIT,
    )
    told = played.rest()
    assert kinds(told) == ["delta", *["segment"] * 3, "completed"]
    assert [(event["text"], event["start"]) for event in told if "start" in event] == [
        ("0", 0.0),
        ("1", 0.08),
        ("2", 0.16),
    ]
    assert len({event["id"] for event in told if "start" in event}) == 3


def test_log_probabilities_come_where_they_are_asked_for():
    played = by_hand()
    played.send(update({"include": ["item.input_audio_transcription.logprobs"]}), append(speech(0.16)), COMMIT)
    assert only(played.rest(), "completed")["logprobs"] == [
        {"token": " 0", "logprob": -0.25, "bytes": [32, 48]},
        {"token": " 1", "logprob": -0.25, "bytes": [32, 49]},
    ]
    played.send(update({"include": None}), append(speech(0.16)), COMMIT)
    assert "logprobs" not in only(played.rest(), "completed")


# Whole items, and looking them up


def test_a_created_item_is_appended_and_committed_at_once_and_leaves_the_buffer_alone():
    played = by_hand(partials=False)
    played.send(append(speech(0.5)))
    told = played.send(create(speech(0.3), id="mine"))
    assert kinds(told) == ITEM
    assert told[0]["item_id"] == "mine"
    played.send(COMMIT)
    assert texts(played.rest()) == [text_of(speech(0.3)), text_of(speech(0.5))]


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
def test_an_item_that_cannot_be_is_refused(item, expected):
    played = by_hand(max_audio_s=2)
    played.send(create(speech(0.5), id="taken"))
    assert code(played.send(item | {"event_id": "mine"})) == expected
    assert played.told[-1]["error"]["event_id"] == "mine"


def test_the_id_of_what_is_still_under_way_cannot_be_given_again():
    played = Played()
    played.send(create(speech(0.5), id="mine"))
    assert kinds(played.send({"type": "conversation.item.delete", "item_id": "mine"})) == ["conversation.item.deleted"]
    assert code(played.send(create(speech(0.3), id="mine"))) == "invalid_value"
    spoken = only(played.send(append(speech(1.0))), "speech_started")["item_id"]
    assert code(played.send(create(speech(0.3), id=spoken))) == "invalid_value"
    assert texts(played.rest())[0] == text_of(speech(0.5))
    assert kinds(played.send(create(speech(0.3), id="mine"))) == ITEM


def test_an_item_can_be_looked_up_and_deleted():
    played = by_hand()
    item_id = only(played.send(append(speech(0.3)), COMMIT), "committed")["item_id"]
    look_up = {"type": "conversation.item.retrieve", "item_id": item_id, "event_id": "mine"}

    def text() -> str | None:
        return only(played.send(look_up), "conversation.item.retrieved")["item"]["content"][0]["transcript"]

    assert text() is None
    played.rest()
    assert text() == text_of(speech(0.3))
    assert kinds(played.send(look_up | {"type": "conversation.item.delete"})) == ["conversation.item.deleted"]
    (error,) = played.send(look_up)
    assert (error["error"]["code"], error["error"]["param"]) == ("item_not_found", "item_id")
    assert error["error"]["event_id"] == "mine"


# Errors


def test_an_invalid_change_changes_nothing():
    played = Played()
    bad = {"turn_detection": None, "audio": {"input": {"format": {"type": "audio/opus"}}}}
    (error,) = played.send(update(bad) | {"event_id": "mine"})
    assert error["error"]["param"] == "session.audio.input.format.type"
    assert error["error"]["event_id"] == "mine"
    (now,) = played.send(update({}))
    assert now["session"] == played.told[0]["session"]


@pytest.mark.parametrize("nonsense", ["", "nonsense", "[]", "{}", b"[]", '{"type":"no.such"}', "[" * 500])
def test_nonsense_is_answered_and_the_session_goes_on(nonsense):
    played = by_hand()
    assert kinds(played.send(nonsense)) == ["error"]
    assert kinds(played.send(append(speech(0.3)), COMMIT)) == ITEM


def test_what_concerns_an_assistant_is_ignored():
    played = Played()
    for kind in ("response.cancel", "output_audio_buffer.clear", "conversation.item.truncate"):
        assert played.send({"type": kind}) == []


# The simple dialect


def test_a_response_has_the_text_of_what_was_appended_and_nothing_else_is_told():
    played = simple(partials=False)
    assert played.send(append(speech(0.5))) == []
    (created,) = played.send(RESPOND)
    assert created["type"] == "response.created"
    response = created["response"]
    assert response == {"id": response["id"], "object": "realtime.response", "status": "in_progress", "output": []}
    delta, done, ended, completed = played.rest()
    text = text_of(speech(0.5))
    assert (delta["type"], delta["delta"]) == ("response.output_text.delta", text)
    assert (done["type"], done["text"]) == ("response.output_text.done", text)
    assert {delta["response_id"], done["response_id"]} == {response["id"]}
    assert ended["type"] == "response.done"
    assert ended["response"] == {
        "id": response["id"],
        "object": "realtime.response",
        "status": "completed",
        "output": [
            {
                "id": delta["item_id"],
                "object": "realtime.item",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text}],
            }
        ],
    }
    assert completed["type"] == "response.completed"
    assert completed["response"] == ended["response"] | {"object": "response", "output_text": text}


def test_live_text_is_for_the_simple_dialect_too():
    played = simple()
    deltas = played.send(append(speech(1.0))) + played.rest()
    assert set(kinds(deltas)) == {"delta"}
    told = played.send(RESPOND) + played.rest()
    assert all(event["type"].startswith("response.") for event in told)
    assert told[-1]["response"]["output_text"].startswith("".join(event["delta"] for event in deltas))


def test_a_beta_client_reads_beta_names_of_a_response():
    played = Played(beta=True, partials=False)
    played.send(update({"turn_detection": None}), append(speech(0.5)), RESPOND)
    *text, done, completed = kinds(played.rest())[-4:]
    assert text == ["response.text.delta", "response.text.done"]
    assert [done, completed] == ["response.done", "response.completed"]
    assert played.told[-1]["response"]["output"][0]["content"][0]["type"] == "text"


def test_a_client_that_has_changed_the_session_reads_of_the_item_too():
    played = simple(partials=False)
    played.send(manual(), append(speech(0.5)))
    assert kinds(played.send(RESPOND)) == [*ITEM, "response.created"]
    assert kinds(played.rest())[:3] == ["delta", "completed", "response.output_text.delta"]


def test_a_response_without_audio_is_empty():
    told = simple().send(RESPOND, RESPOND)
    one = ["response.created", "response.output_text.done", "response.done", "response.completed"]
    assert kinds(told) == one * 2
    assert told[-1]["response"]["output_text"] == ""


@pytest.mark.parametrize("final_from_stream", [False, True])
@pytest.mark.parametrize("samples", [1, 100, 1600])
def test_a_response_to_next_to_no_audio_is_no_error(samples, final_from_stream):
    played = simple(final_from_stream=final_from_stream, partials=False)
    told = played.send(append(speech(samples / RATE)), RESPOND) + played.rest()
    assert told[-1]["type"] == "response.completed"
    assert "error" not in kinds(told)


def test_twice_in_a_row_each_response_has_its_own_text():
    played = simple(partials=False)
    played.send(append(speech(0.5)), RESPOND, append(speech(0.3)), RESPOND)
    completed = [event["response"] for event in played.rest() if event["type"] == "response.completed"]
    assert [each["output_text"] for each in completed] == [text_of(speech(0.5)), text_of(speech(0.3))]


def test_a_response_covers_all_items_since_the_one_before():
    played = by_hand(partials=False)
    played.send(append(speech(0.2)), COMMIT, append(speech(0.3)), COMMIT, RESPOND)
    assert played.rest()[-1]["response"]["output_text"] == f"{text_of(speech(0.2))} {text_of(speech(0.3))}"


def test_a_response_that_fails_says_so_twice():
    played = simple(partials=False)
    played.send(append(speech(0.5)), RESPOND)
    done, error = played.fail(QueueFull("Full."))
    assert (done["type"], done["response"]["status"]) == ("response.done", "failed")
    assert error["error"]["code"] == "queue_full"
    played.send(append(speech(0.5)), RESPOND)
    assert played.rest()[-1]["type"] == "response.completed"


def test_every_item_is_noticed_by_who_runs_the_session():
    played = simple(partials=False)
    played.send(append(speech(0.5)), RESPOND)
    assert [type(notice) for notice in played.notices] == [ItemCommitted]
    played.fail(QueueFull("Full."))
    committed, ended = played.notices
    assert committed.item_id == ended.item_id
    assert ended.error.code == "queue_full"
    assert isinstance(played.session, Session)
