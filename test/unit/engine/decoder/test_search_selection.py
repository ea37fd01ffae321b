"""The choice of the search where there is no GPU, and its check; test_fused_search.py checks a real search."""

from types import SimpleNamespace

import pytest
import torch

from src.engine.decoder import search_selection
from src.engine.decoder.search_selection import SearchMismatch, check_search, select_search

START = SimpleNamespace(labels=torch.zeros(1))
ON_GPU = SimpleNamespace(labels=SimpleNamespace(device=torch.device("cuda")))


def test_a_cpu_and_graphs_of_another_mode_have_no_fused_search(monkeypatch, caplog):
    monkeypatch.setattr(search_selection.search_weights, "unsupported_reason", lambda _: 1 / 0)
    assert select_search(None, START, "full") is None
    assert select_search(None, ON_GPU, "partial") is None
    assert select_search(None, ON_GPU, "off") is None
    assert caplog.text == ""


def test_a_checkpoint_that_the_kernels_do_not_support_is_named_in_the_log(monkeypatch, caplog):
    caplog.set_level("INFO", "src")
    monkeypatch.setattr(search_selection.search_weights, "unsupported_reason", lambda _: "it is no TDT model")
    assert select_search(None, ON_GPU, "full") is None
    assert "NeMo's search, which is slower: it is no TDT model." in caplog.text


@pytest.mark.parametrize("fault", ["no compiler", "weights"])
def test_what_is_missing_for_the_kernels_is_a_warning(monkeypatch, caplog, fault):
    def weights_of(_):
        raise RuntimeError("no weights today")

    missing = "there is no C compiler" if fault == "no compiler" else None
    monkeypatch.setattr(search_selection.search_weights, "unsupported_reason", lambda _: None)
    monkeypatch.setattr(search_selection.search_weights, "weights_of", weights_of)
    monkeypatch.setattr(search_selection.toolchain, "missing", lambda: missing)
    assert select_search(None, ON_GPU, "full") is None
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert "NeMo's search, which is slower" in record.getMessage()


class Found(SimpleNamespace):
    """What a search finds, two tokens in each clip."""

    def rows(self, tokens):
        return torch.cat((self.counts.unsqueeze(1), self.tokens[:, :, :tokens].flatten(1)), dim=1)


class Scorer:
    """Gives every token a duration of 2 and a log-probability of -1."""

    weight = torch.zeros(1)

    def prednet_outputs(self, found, clips, tokens, before):
        assert (found.transcript >= 0).all()
        return torch.zeros(clips, tokens, 1)

    def pack(self, frames, found, outputs, before):
        return made(found.transcript, found.timestamps, duration=2, logprob=-1.0).rows(found.transcript.shape[1])


def made(ids, starts, duration, logprob):
    counts = torch.full((len(ids),), ids.shape[1], dtype=torch.int32)
    bits = torch.full(ids.shape, logprob).view(torch.int32)
    return Found(counts=counts, tokens=torch.stack([ids.int(), starts.int(), starts.int() + duration, bits], dim=1))


def searching(duration, logprob):
    def search(frames, lengths, before):
        ids = torch.ones(len(frames), 2, dtype=torch.int64)
        return made(ids, torch.tensor([[0, 2]]).expand(len(frames), 2), duration, logprob)

    return search


def test_a_search_that_agrees_passes_its_check():
    check_search(searching(2, -1.0), Scorer(), 4)


@pytest.mark.parametrize(("duration", "logprob"), [(3, -1.0), (2, -1.1), (2, float("nan"))])
def test_other_durations_or_probabilities_fail_it(duration, logprob):
    with pytest.raises(SearchMismatch, match="of the durations are right"):
        check_search(searching(duration, logprob), Scorer(), 4)
