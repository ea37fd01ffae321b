"""Speakers are learned from what is heard; little speech makes a new one only if it sounds unlike all others."""

import numpy as np

from src.diarization.clusters import Voices
from src.diarization.speakers import known_speakers, learned
from src.diarization.voice_windows import VoiceWindows
from src.engine.voice_encoder import HIDDEN


def voice(*parts: float) -> np.ndarray:
    vector = np.zeros(HIDDEN, np.float32)
    vector[: len(parts)] = parts
    return vector / np.linalg.norm(vector)


ANN, BOB, CLEO = voice(1), voice(0, 1), voice(0.62, 0, 0.78)


def heard(*spoken: tuple[np.ndarray, float]) -> VoiceWindows:
    """Windows one after the other, each a voice and how long it speaks."""
    lengths = np.array([length for _, length in spoken])
    ends = lengths.cumsum()
    return VoiceWindows(ends - lengths, ends, lengths, np.stack([vector for vector, _ in spoken]))


def known(*vectors: np.ndarray):
    return known_speakers([Voices(vector[None], np.array([3.0])) for vector in vectors])


def learn(windows: VoiceWindows, before=None, count=None, max_count=8):
    return learned(before or known(), windows, count=count, max_count=max_count)


def test_each_voice_is_a_speaker():
    speakers = learn(heard((ANN, 1.5), (BOB, 1.5), (ANN, 1.5), (BOB, 1.5)))
    assert len(speakers) == 2
    assert np.allclose(speakers.directions, [ANN, BOB])


def test_speakers_stay_and_new_ones_come_after_them():
    first = learn(heard((ANN, 3.0)))
    second = learn(heard((BOB, 3.0), (ANN, 3.0)), first)
    assert np.allclose(second.directions, [ANN, BOB])
    assert second.voices.weights.tolist() == [6, 3]


def test_little_speech_makes_no_new_speaker_if_it_is_somewhat_like_another():
    assert len(learn(heard((ANN, 1.5), (ANN, 1.5), (BOB, 3.0), (CLEO, 1.5)))) == 2
    assert len(learn(heard((ANN, 1.5), (ANN, 1.5), (BOB, 3.0), (CLEO, 1.5), (CLEO, 1.5)))) == 3


def test_little_speech_makes_a_new_speaker_if_it_is_unlike_all_others_or_the_only_one():
    assert len(learn(heard((ANN, 3.0), (BOB, 1.5)))) == 2
    assert len(learn(heard((ANN, 0.4)))) == 1


def test_what_sounds_like_nobody_now_and_then_is_no_speaker_of_a_long_recording():
    """Windows in which one voice follows another."""
    between = voice(0.63, 0.4, 0.66)
    hour = heard(*[(ANN, 90.0), (between, 1.5), (BOB, 90.0)] * 20)
    assert len(learn(hour)) == 2
    assert len(learn(heard(*[(ANN, 3.0), (between, 1.5), (BOB, 3.0)] * 3))) == 3  # that may be somebody who says little


def test_somebody_who_says_a_sentence_is_a_speaker_of_a_long_recording():
    minutes = [(ANN, 90.0), (BOB, 90.0)] * 10
    assert len(learn(heard(*minutes, (CLEO, 1.5), (CLEO, 1.5), *minutes))) == 3
    assert len(learn(heard(*minutes, (CLEO, 1.5), *minutes, (CLEO, 1.5)))) == 2
    assert len(learn(heard(*minutes, (voice(0, 0, 1), 1.5), *minutes))) == 3  # like nobody at all


def test_windows_may_come_in_any_order():
    hour = heard(*[(ANN, 90.0), (CLEO, 1.5), (BOB, 90.0)] * 20)
    shuffled = hour.part(np.argsort(-hour.embeddings[:, 2], kind="stable"))  # what sounds like nobody comes first
    assert len(learn(shuffled)) == len(learn(hour)) == 2


def test_very_short_speech_does_not_count_beside_longer():
    assert len(learn(heard((ANN, 3.0), (BOB, 0.5)))) == 1


def test_a_single_short_word_is_no_new_speaker_however_unlike_it_sounds():
    assert len(learn(heard((BOB, 0.4)), learn(heard((ANN, 3.0))))) == 1


def test_a_known_speaker_counts_once_it_speaks():
    before = known(ANN, BOB)
    assert not before.directions.any()
    after = learn(heard((BOB, 3.0), (CLEO, 3.0)), before, max_count=2)
    assert after.is_heard.tolist() == [False, True, True]
    assert np.allclose(after.directions, [0 * ANN, BOB, CLEO])


def test_a_new_speaker_somewhat_like_a_known_one_who_has_not_spoken_is_that_one():
    elsewhere = [(voice(0.66, 0, 0, 0.73, 0.18), 3.0), (voice(0.66, 0, 0, 0.18, 0.73), 3.0)]
    after = learn(heard(*elsewhere, (BOB, 3.0)), known(CLEO, ANN))
    assert after.is_heard.tolist() == [False, True, True]
    assert len(learn(heard(*elsewhere), learn(heard((ANN, 3.0)), known(ANN)))) == 2  # she has spoken: another one


def test_no_more_speakers_than_allowed():
    first = learn(heard((ANN, 3.0)), max_count=1)
    assert len(learn(heard((BOB, 3.0)), first, max_count=1)) == 1
    assert len(learn(heard((ANN, 3.0), (BOB, 3.0), (CLEO, 3.0)), count=2)) == 2
