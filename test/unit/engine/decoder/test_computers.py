"""A network's computers: what they keep, and what keywords need."""

from types import SimpleNamespace

import pytest
import torch

from src.engine.decoder.computers import EXTRA_TOKENS, kept_outputs, max_kept_tokens, missing_for_keywords


def test_what_keywords_need_is_asked_of_a_gpu_alone(monkeypatch):
    monkeypatch.setattr("src.engine.toolchain.missing", lambda: "there is no C compiler")
    assert missing_for_keywords(torch.device("cuda")) == "there is no C compiler"
    assert missing_for_keywords(torch.device("cpu")) is None


def test_there_is_room_for_fast_speech_in_a_second_and_in_an_hour():
    assert max_kept_tokens(0) == EXTRA_TOKENS
    assert max_kept_tokens(12) / 0.96 > 2 * 3.5
    assert max_kept_tokens(45_000) / 3600 > 1.5 * 3.5


@pytest.mark.parametrize(("clips", "tokens"), [(1, 1), (3, 9)])
def test_the_outputs_of_a_batch_are_those_of_its_clips_and_tokens(clips, tokens):
    kept = torch.arange(3 * 10 * 2).view(3, 10, 2)
    computer = SimpleNamespace(state=SimpleNamespace(outputs=kept))
    assert torch.equal(kept_outputs(computer, clips, tokens), kept[:clips, :tokens])


def test_the_last_column_of_the_outputs_is_never_given_out():
    computer = SimpleNamespace(state=SimpleNamespace(outputs=torch.zeros(3, 10, 2)))
    assert kept_outputs(computer, 3, 10) is None


@pytest.mark.parametrize("state", [None, SimpleNamespace()])
def test_a_computer_without_graphs_keeps_no_outputs(state):
    assert kept_outputs(SimpleNamespace(state=state), 1, 1) is None
