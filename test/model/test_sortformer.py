"""A NeMo Sortformer with random weights: lengths, shapes, states and errors. Its accuracy cannot be seen with these."""

import numpy as np
import pytest
import torch
from dialogues import word
from tiny_sortformer import save_tiny_sortformer

from src.audio.samples import SAMPLE_RATE
from src.diarization.diarizer import SpeakerOptions
from src.diarization.sortformer_diarizer import SortformerDiarizer
from src.engine.checkpoint import TINY
from src.engine.network import quiet_nemo
from src.engine.sortformer import Sortformer
from src.errors import SpeakersUnavailable

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("sortformer") / "sortformer.nemo"
    with quiet_nemo():
        save_tiny_sortformer(file)
    return file


@pytest.fixture(scope="module")
def sortformer(path):
    return Sortformer.load(str(path), CPU)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


def test_it_has_four_speakers_and_frames_of_80_ms(sortformer):
    assert sortformer.speakers == 4
    assert sortformer.frame_s == pytest.approx(0.08)


@pytest.mark.parametrize("seconds", [0.01, 0.1, 1.0, 3.33, 35.0])
def test_there_is_a_probability_for_each_frame_and_speaker(sortformer, seconds):
    activities = sortformer.activities(noise(seconds), sortformer.start())
    assert activities.shape[1] == 4
    assert len(activities) * 0.08 == pytest.approx(seconds, abs=0.1)
    assert (activities >= 0).all()
    assert (activities <= 1).all()


def test_what_was_heard_before_is_remembered_and_recordings_are_apart(sortformer):
    first, second = sortformer.start(), sortformer.start()
    alone = sortformer.activities(noise(3, 1), sortformer.start())
    sortformer.activities(noise(40, 2), first)
    assert not np.allclose(sortformer.activities(noise(3, 1), first), alone)
    assert np.allclose(sortformer.activities(noise(3, 1), second), alone, atol=1e-5)


def test_the_memory_of_a_long_recording_is_bounded(sortformer):
    state = sortformer.start()
    for number in range(2):
        sortformer.activities(noise(30, number), state)
    assert state.spkcache.shape[1] <= 188
    assert state.fifo.shape[1] <= 40


def test_words_get_speakers_from_it(sortformer):
    diarization = SortformerDiarizer(lambda: sortformer).recording(SpeakerOptions(max_speakers=2))
    diarization.add(noise(5), 0.0)
    diarization.add(noise(5, 1), 6.0)
    labels = diarization.label([word("one", 0.5, 0.8), word("two", 2.0, 2.4), word("three", 7.0, 7.3)])
    assert len(labels) == 3
    assert set(labels) <= {"A", "B"}


def test_what_is_no_streaming_sortformer_is_refused_in_one_sentence(tmp_path):
    offline = tmp_path / "offline.nemo"
    with quiet_nemo():
        save_tiny_sortformer(offline, streaming=False)
    for file, reason in [(offline, "is no streaming Sortformer"), (TINY, "PARAKEET_DIARIZER"), (__file__, "PARAKEET")]:
        with pytest.raises(SpeakersUnavailable, match=reason) as refused:
            Sortformer.load(str(file), CPU)
        assert "\n" not in str(refused.value)
