"""Long recordings through the whole service: every sentence once, in order, at its time."""

import itertools
import json
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pytest
import soundfile
from long_audio import joined, sentences
from media import CLIPS, wav
from running_service import Service, serving

from src.settings import Settings

QUARTER_HOUR_S = 900
PRECISION_S = 0.25


@pytest.fixture(scope="module")
def patient(tiny, tmp_path_factory):
    """A service that takes hours of audio."""
    settings = Settings(
        model_id="tiny", max_audio_seconds=10_800, max_queue_wait_s=60, log_dir=tmp_path_factory.mktemp("logs")
    )
    with serving(settings, lambda _: tiny) as running:
        yield running


def recording(seconds: float, gaps_s=(0.3, 0.6, 1.0, 1.5, 0.45)):
    """Clips in a known order up to `seconds`, as a FLAC file, and where each stands."""
    average_s = 4.2
    names = list(itertools.islice(itertools.cycle(sentences()), round(seconds / average_s)))
    samples, placements = joined(names, itertools.cycle(gaps_s))
    return wav(samples, container="FLAC"), placements


def likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.split(), other.split()).ratio()


def test_a_quarter_of_an_hour_has_every_sentence_once_in_order_at_its_time(patient: Service, transcripts):
    file, placements = recording(QUARTER_HOUR_S)
    fields: dict[str, Any] = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
    answer = patient.upload(file, **fields).json()
    expected = [transcripts[f"{placement.name}.flac"] for placement in placements]
    segments = answer["segments"]
    heard = [segment["text"].strip() for segment in segments]
    assert answer["duration"] > 0.9 * QUARTER_HOUR_S
    assert answer["text"] == " ".join(heard)

    # The tiny model mishears a word here and there; a sentence that a seam has cost or doubled would shift all others.
    assert len(heard) == len(expected)
    assert min(map(likeness, heard, expected)) > 0.6
    assert sum(map(str.__eq__, heard, expected)) > 0.9 * len(expected)

    for placement, segment in zip(placements, segments, strict=True):
        assert placement.start_s - PRECISION_S <= segment["start"] <= segment["end"], placement
        assert segment["end"] <= placement.end_s + PRECISION_S, placement
    times = [time for word in answer["words"] for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert times[-1] <= answer["duration"]


@pytest.mark.parametrize("name", ["piper-joe-1", "rhvoice-slt-1", "fsdd-jackson-2", "flite-kal16-2"])
def test_a_clip_gives_the_same_text_alone_streamed_and_inside_a_long_file(patient: Service, name):
    alone = patient.upload((CLIPS / f"{name}.flac").read_bytes()).json()["text"]
    streamed = patient.upload((CLIPS / f"{name}.flac").read_bytes(), stream="true").text
    done = json.loads(streamed.strip().rpartition("data: ")[2])
    assert done["text"] == alone
    others = sentences()[:20]
    samples, _ = joined([*others, name, *others], itertools.repeat(1.0))
    assert alone in patient.upload(wav(samples, container="FLAC")).json()["text"]


def test_long_silence_is_skipped_and_times_stay_right(patient: Service):
    first, _ = soundfile.read(CLIPS / "piper-joe-1.flac", dtype="float32")
    second, _ = soundfile.read(CLIPS / "rhvoice-clb-1.flac", dtype="float32")
    silence = np.zeros(200 * 16_000, np.float32)
    file = wav(np.concatenate([silence, first, silence, second, silence]), container="FLAC")
    answer = patient.upload(file, response_format="verbose_json").json()
    assert answer["text"] == "The black bicycle is under the tree. There are ninety six windows in the station."
    assert [segment["start"] for segment in answer["segments"]] == pytest.approx([200, 200 + 2.75 + 200], abs=0.6)


@pytest.fixture(scope="module")
def cutting(tiny, tmp_path_factory):
    """A service that cuts audio of more than 20 s."""
    settings = Settings(model_id="tiny", chunk_seconds=20, max_queue_wait_s=60, log_dir=tmp_path_factory.mktemp("logs"))
    with serving(settings, lambda _: tiny) as running:
        yield running


def damaged(speech: np.ndarray) -> np.ndarray:
    changed = speech.copy()
    changed[16_000] = 1000
    return changed


def after_noise(speech: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.3, 8000)
    return np.concatenate([noise, np.zeros(8000), speech]).astype(np.float32)


@pytest.mark.parametrize(("changed", "db"), [(damaged, 0), (damaged, -50), (after_noise, -50)])
def test_something_loud_costs_a_long_recording_no_words(cutting: Service, changed, db):
    speech, _ = joined(sentences()[:9], itertools.repeat(1.0))
    speech *= np.float32(10 ** (db / 20))
    whole = cutting.upload(wav(speech, subtype="FLOAT")).json()["text"]
    assert len(whole.split()) > 50
    assert likeness(whole, cutting.upload(wav(changed(speech), subtype="FLOAT")).json()["text"]) > 0.9
