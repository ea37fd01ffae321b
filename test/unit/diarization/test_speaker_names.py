"""Speakers have letters in the order in which they speak, or the names that are known."""

from src.diarization.speaker_names import SpeakerNames


def test_speakers_get_letters_in_the_order_in_which_they_are_asked_for():
    names = SpeakerNames([])
    assert [names.name_of(speaker) for speaker in (3, 0, 3, 7, 0)] == ["A", "B", "A", "C", "B"]


def test_a_known_speaker_keeps_its_name_and_no_other_gets_it():
    names = SpeakerNames(["Ann", "B"])
    assert [names.name_of(speaker) for speaker in (2, 1, 0, 3, 4)] == ["A", "B", "Ann", "C", "D"]


def test_after_z_come_two_letters():
    names = SpeakerNames([])
    every = [names.name_of(speaker) for speaker in range(60)]
    assert every[25:28] == ["Z", "AA", "AB"]
    assert every[51:54] == ["AZ", "BA", "BB"]
    assert len(set(every)) == 60
