"""Words get the speakers of the network; a fake one says who talks, as no Sortformer is here."""

from typing import Any

import numpy as np
import pytest
from dialogues import word

from src.diarization.diarizer import KnownSpeaker, SpeakerOptions
from src.diarization.sortformer_diarizer import SortformerDiarizer
from src.errors import InvalidRequest, SpeakersUnavailable

FRAME = 1280
"""Samples in a frame of 80 ms."""


class Talking:
    """Reads off the audio which of four speakers talks: its samples are 1, 2, 3 or 4, or 0 for none."""

    speakers = 4
    frame_s = 0.08

    def start(self):
        return []

    def activities(self, samples, state):
        state.append(len(samples))
        talks = np.round(samples[::FRAME]).astype(int)
        return (talks[:, None] == np.arange(1, 5)).astype(np.float32)


Network: Any = Talking  # in place of Sortformer, which is no protocol


def audio(*parts: tuple[int, float]) -> np.ndarray:
    return np.concatenate([np.full(round(length / 0.08) * FRAME, speaker, np.float32) for speaker, length in parts])


def words(*times: float) -> list:
    return [word("word.", time, time + 0.3) for time in times]


def recording(**options):
    return SortformerDiarizer(Network).recording(SpeakerOptions(**options))


def test_words_get_letters_in_the_order_of_speaking():
    diarization = recording()
    diarization.add(audio((3, 0.8), (0, 0.24), (1, 0.8)), 0.0)
    diarization.add(audio((3, 0.8)), 5.0)
    assert diarization.label(words(0.1, 0.4, 1.2, 1.5, 5.2)) == ("A", "A", "B", "B", "A")


def test_words_without_frames_belong_to_the_nearest_or_to_the_one_before():
    diarization = recording()
    assert diarization.label_next(words(0.1)) == ("A",)
    diarization.add(audio((2, 0.8)), 1.0)
    assert diarization.label_next(words(0.1, 1.2, 3.0)) == ("A", "A", "A")
    assert diarization.label_next([]) == ()


def test_names_stay_while_it_goes_on_and_old_frames_are_dropped():
    diarization = recording()
    names = []
    for number, speaker in enumerate([2, 1, 2, 4, 1]):
        diarization.add(audio((speaker, 4.0)), 4.0 * number)
        names += diarization.label_next(words(4.0 * number + 1))
    assert names == ["A", "B", "A", "C", "B"]
    assert len(diarization._parts[0].starts_s) < 110  # of 250


def test_known_speakers_are_told_to_the_network_first_and_keep_their_names():
    diarization = recording(
        known=(KnownSpeaker("Ann", audio((2, 2.4))), KnownSpeaker("Bob", audio((0, 0.8), (1, 1.6))))
    )
    diarization.add(audio((3, 0.8), (1, 0.8), (2, 0.8)), 0.0)
    assert diarization.label(words(0.2, 1.0, 1.8)) == ("A", "Bob", "Ann")


def test_a_known_speaker_who_is_not_heard_or_not_told_apart_is_refused():
    ann = KnownSpeaker("Ann", audio((2, 2.4)))
    for other in (KnownSpeaker("Bob", audio((0, 2.4))), KnownSpeaker("Bob", audio((2, 2.4)))):
        diarization = recording(known=(ann, other))
        with pytest.raises(InvalidRequest, match="known speaker 2, 'Bob'") as refused:
            diarization.add(audio((1, 0.8)), 0.0)
        assert refused.value.param == "known_speaker_references"


def test_there_are_no_more_speakers_than_the_request_says():
    diarization = recording(num_speakers=2)
    diarization.add(audio((1, 1.6), (2, 0.8), (3, 1.6), (2, 0.8)), 0.0)
    labels = diarization.label(words(0.1, 0.5, 1.0, 1.7, 2.5, 2.9, 3.2, 3.5, 4.1))
    assert len(set(labels)) == 2


def test_a_stopped_diarization_listens_no_more():
    diarization = recording()
    diarization.add(audio((1, 0.8)), 0.0)
    diarization.stop()
    diarization.add(audio((2, 0.8)), 0.8)
    assert diarization.label(words(0.1, 1.2)) == ("A", "A")


def test_the_network_is_loaded_once_and_its_failure_is_that_of_the_request():
    loads = []

    def load():
        loads.append(1)
        if len(loads) == 1:
            raise SpeakersUnavailable("it is not there")
        return Network()

    diarizer = SortformerDiarizer(load)
    diarizer.check()
    with pytest.raises(SpeakersUnavailable, match="it is not there"):
        diarizer.recording(SpeakerOptions()).add(audio((1, 0.8)), 0.0)
    for _ in range(2):
        diarizer.recording(SpeakerOptions()).add(audio((1, 0.8)), 0.0)
    diarizer.load()
    assert len(loads) == 2
