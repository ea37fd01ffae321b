"""Who says what in dialogues made of the bundled clips, by the real detector, voice encoder and clustering."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pytest
from dialogues import Dialogue, clips, dialogue, moved, word

from src.audio.samples import SAMPLE_RATE
from src.audio.vad import SpeechDetector
from src.diarization.diarizer import KnownSpeaker, SpeakerOptions
from src.diarization.factory import diarizer_of, voice_encoder
from src.diarization.voice_diarizer import VoiceDiarizer
from src.errors import InvalidRequest
from src.settings import Settings

DIALOGUES = [
    (("piper-joe", "rhvoice-clb"), 1),
    (("fsdd-nicolas", "asterisk-allison"), 2),
    (("flite-rms", "pico-en-gb"), 3),
    (("rhvoice-bdl", "fsdd-jackson", "flite-slt"), 4),
    (("flite-kal16", "rhvoice-alan", "pico-en-us"), 5),
    (("fsdd-theo", "piper-joe", "asterisk-allison"), 6),
    (("flite-awb", "rhvoice-slt", "fsdd-jackson", "piper-joe"), 7),
    (("rhvoice-alan", "pico-en-gb", "rhvoice-bdl", "fsdd-nicolas"), 8),
    (("festival-cmu-us-slt-arctic-hts", "flite-kal16", "fsdd-theo", "flite-rms"), 9),
]
"""Voices that are unlike, and a seed."""


@pytest.fixture(scope="module")
def diarizer():
    return diarizer_of(Settings(device="cpu"), SpeechDetector())


@pytest.fixture(scope="module")
def made():
    return [dialogue(voices, seed, turns=8) for voices, seed in DIALOGUES]


def labelled(diarizer: VoiceDiarizer, each: Dialogue, options: SpeakerOptions) -> tuple[str, ...]:
    """The speakers of a dialogue that is added in two parts."""
    diarization = diarizer.recording(options)
    half = len(each.samples) // 2
    diarization.add(each.samples[:half], 0.0)
    diarization.add(each.samples[half:], half / SAMPLE_RATE)
    return diarization.label(each.words)


def turn_by_turn(diarizer: VoiceDiarizer, each: Dialogue) -> tuple[str, ...]:
    """The speakers of a dialogue that is said while it is labelled."""
    diarization = diarizer.recording(SpeakerOptions())
    labels: list[str] = []
    start = 0
    for _, group in groupby(zip(each.words, each.voices, strict=True), key=lambda pair: pair[1]):
        words = [spoken for spoken, _ in group]
        end = round((words[-1].end_s + 0.1) * SAMPLE_RATE)
        diarization.add(each.samples[start:end], start / SAMPLE_RATE)
        labels += diarization.label_next(words)
        start = end
    return tuple(labels)


def right(each: Dialogue, labels: Sequence[str]) -> int:
    """How many words have the speaker that most words of their voice have, each speaker being one voice's."""
    counts = {
        (voice, label): sum(pair == (voice, label) for pair in zip(each.voices, labels, strict=True))
        for voice in each.voices
        for label in labels
    }
    total = 0
    while counts:
        voice, label = max(counts, key=lambda pair: counts[pair])
        total += counts[voice, label]
        counts = {pair: count for pair, count in counts.items() if pair[0] != voice and pair[1] != label}
    return total


def assert_told_apart(made: Sequence[Dialogue], labels: Sequence[Sequence[str]]) -> None:
    words = sum(len(each.words) for each in made)
    assert sum(map(right, made, labels)) >= 0.97 * words
    numbers = [len(set(found)) == len(set(each.voices)) for each, found in zip(made, labels, strict=True)]
    assert sum(numbers) >= 0.9 * len(made) - 0.5


def test_speakers_of_a_whole_recording_are_told_apart(diarizer, made):
    labels = [labelled(diarizer, each, SpeakerOptions()) for each in made]
    assert_told_apart(made, labels)
    for found in labels:
        assert list(dict.fromkeys(found)) == sorted(set(found))  # letters in the order in which they speak


def test_speakers_are_told_apart_turn_by_turn(diarizer, made):
    assert_told_apart(made[2:7:2], [turn_by_turn(diarizer, each) for each in made[2:7:2]])


def test_known_speakers_have_their_names(diarizer, made):
    some = [made[0], made[3], made[6]]
    labels = []
    for each in some:
        known = [KnownSpeaker(voice.upper(), clips()[voice][0].samples) for voice in sorted(set(each.voices))[:3]]
        labels.append(labelled(diarizer, each, SpeakerOptions(known=tuple(known))))
        names = {speaker.name for speaker in known}
        named = [(voice.upper(), found) for voice, found in zip(each.voices, labels[-1], strict=True)]
        assert sum(voice == found for voice, found in named if voice in names) >= 0.9 * sum(
            voice in names for voice, _ in named
        )
        assert {found for voice, found in named if voice not in names} <= {"A"}
    assert_told_apart(some, labels)


@pytest.mark.parametrize("voice", ["rhvoice-bdl", "fsdd-jackson"])
def test_one_voice_is_one_speaker(diarizer, voice):
    alone = dialogue([voice], 1, turns=5)
    assert set(labelled(diarizer, alone, SpeakerOptions())) == {"A"}


def test_as_many_speakers_as_the_request_says(diarizer, made):
    assert len(set(labelled(diarizer, made[3], SpeakerOptions(num_speakers=2)))) == 2
    assert len(set(labelled(diarizer, made[3], SpeakerOptions(max_speakers=1)))) == 1


def test_without_speech_all_words_are_of_one_speaker(diarizer):
    words = [word("Hm.", 0.2, 0.4), word("Yes.", 1.0, 1.3)]
    silence = np.zeros(2 * SAMPLE_RATE, np.float32)
    known = SpeakerOptions(known=(KnownSpeaker("Ann", clips()["piper-joe"][0].samples),))
    for options in (SpeakerOptions(), known):
        whole, live, unheard = (diarizer.recording(options) for _ in range(3))
        whole.add(silence, 0.0)
        live.add(silence, 0.0)
        assert whole.label(words) == live.label_next(words) == unheard.label(words) == ("A", "A")
        assert whole.label([]) == live.label_next([]) == ()


def test_a_known_speaker_who_says_nothing_is_refused(diarizer):
    silent = KnownSpeaker("Ann", np.zeros(3 * SAMPLE_RATE, np.float32))
    diarization = diarizer.recording(SpeakerOptions(known=(silent,)))
    with pytest.raises(InvalidRequest, match="known speaker 1, 'Ann'") as refused:
        diarization.add(np.zeros(SAMPLE_RATE, np.float32), 0.0)
    assert refused.value.param == "known_speaker_references"


def test_a_session_of_hours_keeps_little(diarizer):
    diarization = diarizer.recording(SpeakerOptions())
    for number in range(4):
        turn = clips()["piper-joe"][number % 2]
        diarization.add(turn.samples, 10.0 * number)
        assert set(diarization.label_next([moved(word, 10.0 * number) for word in turn.words])) == {"A"}
    assert len(diarization._parts) == 0
    assert len(diarization._recent) < 10


def test_a_stopped_diarization_returns_early(diarizer, made):
    diarization = diarizer.recording(SpeakerOptions())
    diarization.add(made[0].samples, 0.0)
    diarization.stop()
    diarization.add(made[1].samples, 100.0)
    assert len(diarization._parts[1]) == 0
    assert set(diarization.label(made[0].words)) == {"A"}


def test_the_voice_encoder_goes_to_the_cpu_if_the_device_fails(monkeypatch):
    failures = ["the GPU is full"]

    def warm_up(self):
        if failures:
            raise RuntimeError(failures.pop())

    monkeypatch.setattr("src.engine.voice_encoder.VoiceEncoder.warm_up", warm_up)
    assert voice_encoder("cpu").features(np.zeros(1600, np.float32)).shape == (11, 40)
    assert failures == []
