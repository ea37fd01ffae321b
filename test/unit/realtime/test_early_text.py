"""The text of a turn that was transcribed in a pause belongs to exactly that turn."""

from dataclasses import replace

import pytest

from src.realtime.early_text import EarlyText, ExpectedTurn

TURN = ExpectedTurn("item_1", 1_000, 16_000, 24_000, ("Parakeet",))


@pytest.mark.parametrize(
    "other",
    [{"item_id": "item_2"}, {"start": 0}, {"speech_samples": 16_512}, {"samples": 24_512}, {"keywords": ()}],
    ids=lambda other: next(iter(other)),
)
def test_another_turn_is_not_the_expected_one(other):
    assert replace(TURN) == TURN
    assert replace(TURN, **other) != TURN


def test_it_has_no_text_before_the_transcription_ends():
    assert EarlyText(TURN).transcript is None
