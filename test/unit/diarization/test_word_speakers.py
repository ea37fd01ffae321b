"""A word belongs to the speaker whose voice is heard around it; within a sentence speakers seldom change."""

import numpy as np
from dialogues import word

from src.diarization.voice_windows import VoiceWindows
from src.diarization.word_speakers import speakers_of

VOICES = np.array([[1, 0], [0, 1]], np.float32)


def windows(*spans: tuple[float, float, float]) -> VoiceWindows:
    """Windows with a start, an end, and how much of the first voice is heard; the rest is the second."""
    shares = np.array([share for _, _, share in spans], np.float32)
    starts, ends = np.array([start for start, _, _ in spans]), np.array([end for _, end, _ in spans])
    return VoiceWindows(starts, ends, ends - starts, np.stack([shares, 1 - shares], axis=1))


def said(*times: tuple[str, float, float]) -> list:
    return [word(*each) for each in times]


def test_each_word_belongs_to_the_voice_that_is_heard_there():
    heard = windows((0, 1.5, 0.9), (2, 3.5, 0.1))
    words = said(("Are", 0.1, 0.4), ("you?", 0.5, 0.9), ("Yes,", 2.1, 2.4), ("I", 2.5, 2.6), ("am.", 2.7, 3.0))
    assert speakers_of(words, heard, VOICES).tolist() == [0, 0, 1, 1, 1]


def test_a_turn_of_one_word_is_found():
    heard = windows((0, 1.5, 0.9), (1.9, 2.3, 0.25), (2.8, 4.3, 0.9))
    words = said(("It", 0.1, 0.4), ("works.", 0.6, 1.2), ("Yes.", 1.95, 2.25), ("So", 2.9, 3.2), ("then", 3.4, 3.8))
    assert speakers_of(words, heard, VOICES).tolist() == [0, 0, 1, 0, 0]


def test_a_doubtful_word_within_a_sentence_stays_with_its_neighbours():
    heard = windows((0, 0.5, 0.9), (0.5, 0.8, 0.45), (0.8, 1.5, 0.9))
    words = said(("the", 0.1, 0.5), ("odd", 0.5, 0.8), ("word", 0.8, 1.2))
    assert speakers_of(words, heard, VOICES).tolist() == [0, 0, 0]


def test_speakers_change_at_the_end_of_a_sentence_rather_than_one_word_later():
    heard = windows((0, 1.0, 0.9), (1.0, 1.4, 0.55), (1.4, 2.4, 0.1))
    ended = said(("is", 0.1, 0.5), ("here.", 0.5, 1.0), ("Who", 1.0, 1.4), ("is", 1.4, 1.8), ("it", 1.8, 2.2))
    assert speakers_of(ended, heard, VOICES).tolist() == [0, 0, 1, 1, 1]


def test_a_word_without_a_window_belongs_to_the_nearest():
    heard = windows((0, 1.0, 0.9), (5.0, 6.0, 0.1))
    assert speakers_of(said(("far", 1.5, 1.8)), heard, VOICES).tolist() == [0]
    assert speakers_of(said(("far", 4.5, 4.8)), heard, VOICES).tolist() == [1]


def test_no_words_have_no_speakers():
    assert speakers_of([], windows((0, 1.0, 0.9)), VOICES).tolist() == []
