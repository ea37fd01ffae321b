"""The choice of the encoder: the service's own if it gives NeMo's results, NeMo's otherwise, as the log says."""

import logging
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from live_text import default, streamed
from media import CLIPS, clip
from nemo_parts import conformer, featurizer
from running_service import serving

from src.engine import toolchain
from src.engine.encoder import selection
from src.engine.encoder.fastconformer import FastConformerEncoder
from src.engine.encoder.operations import Operations, PlainOperations
from src.engine.encoder.parakeet_encoder import ParakeetEncoder
from src.engine.encoder.selection import new_parakeet_encoder, select_operations
from src.engine.nemo_model import NemoModel
from src.settings import Settings

CPU = torch.device("cpu")
NAMES = ["piper-joe-1", "rhvoice-slt-1", "fsdd-theo-2", "long-30s"]


def texts(model: NemoModel, names=NAMES) -> list[str]:
    return [each.text for each in model.transcribe(model.collate([clip(name) for name in names]))]


def network(**changed) -> SimpleNamespace:
    """The parts of a NeMo network that an encoder is built from."""
    return SimpleNamespace(preprocessor=SimpleNamespace(featurizer=featurizer()), encoder=conformer(**changed))


def test_the_bundled_checkpoint_is_served_by_the_services_own_encoder_and_nemos_weights_are_freed(tiny):
    assert isinstance(tiny._encoder.encode_audio, ParakeetEncoder)
    assert tiny._network.encoder is None


def test_an_encoder_of_another_kind_stays_nemos_and_the_log_says_why(caplog):
    caplog.set_level(logging.INFO)
    assert new_parakeet_encoder(network(conv_norm_type="layer_norm"), CPU, torch.float32, Settings()) is None
    [line] = caplog.messages
    assert "NeMo's encoder" in line
    assert "layer_norm" in line


def own_messages(caplog, level: int = logging.NOTSET) -> list[str]:
    """Messages of the service's own code; NeMo logs when the first test imports it."""
    return [each.message for each in caplog.records if each.name.startswith("src.") and each.levelno >= level]


def test_the_setting_selects_nemos_encoder_without_a_message(caplog):
    assert new_parakeet_encoder(network(), CPU, torch.float32, Settings(encoder="nemo")) is None
    assert not own_messages(caplog)


def test_an_encoder_that_fails_its_check_gives_way_to_nemos_with_one_warning(nemos, monkeypatch, caplog):
    """For example, because the device computes something wrong."""
    sinusoids = "src.engine.encoder.positions.sinusoids"
    monkeypatch.setattr(sinusoids, lambda reach, width, device: torch.ones(2 * reach, width, device=device))
    caplog.set_level(logging.INFO)
    model = NemoModel.load(Settings(model_id="tiny"))
    [warning] = own_messages(caplog, logging.WARNING)
    assert "fails the check" in warning
    assert "of the norm" in warning
    assert "Encoder: NeMo's, CUDA graphs off" in caplog.messages
    assert texts(model) == texts(nemos)


def test_an_encoder_that_raises_in_its_check_gives_way_to_nemos(nemos, monkeypatch, caplog):
    def broken(*_) -> None:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(FastConformerEncoder, "__call__", broken)
    model = NemoModel.load(Settings(model_id="tiny"))
    [warning] = own_messages(caplog, logging.WARNING)
    assert "no kernel image is available" in warning
    assert texts(model) == texts(nemos)


class Kernels(Operations):
    """Kernels that compute as plain PyTorch does, but for attention."""

    name = "Triton kernels"

    def __init__(self, attend: Callable[..., torch.Tensor]) -> None:
        self._attend = attend
        self._plain = PlainOperations()

    def subsample_features(self, x, counts, first, conv):
        return self._plain.subsample_features(x, counts, first, conv)

    def subsample_step(self, x, counts, conv):
        return self._plain.subsample_step(x, counts, conv)

    def convolve(self, x, conv, layout):
        return self._plain.convolve(x, conv, layout)

    def attend(self, qkv, heads, positions, layout):
        return self._attend(qkv, heads, positions, layout)


@pytest.mark.parametrize(
    "broken",
    [lambda qkv, *_: qkv[:, : qkv.shape[1] // 3].contiguous(), lambda *_: 1 / 0],
    ids=["wrong", "raises"],
)
def test_kernels_that_fail_their_check_give_way_to_plain_pytorch_with_one_warning(tiny, broken, monkeypatch, caplog):
    """For example, because the compiler gets them wrong or lacks something."""
    monkeypatch.setattr(selection, "select_operations", lambda device: Kernels(broken))
    caplog.set_level(logging.INFO)
    model = NemoModel.load(Settings(model_id="tiny"))
    [warning] = own_messages(caplog, logging.WARNING)
    assert "without Triton's kernels" in warning
    assert "of the norm" in warning or "division by zero" in warning
    assert any(line.startswith("Encoder: own, plain PyTorch") for line in caplog.messages)
    assert texts(model) == texts(tiny)


def test_a_gpu_without_what_triton_needs_gets_plain_pytorch_and_the_log_says_what_is_missing(monkeypatch, caplog):
    monkeypatch.setattr(toolchain, "missing", lambda: "there is no C compiler")
    assert isinstance(select_operations(torch.device("cuda")), PlainOperations)
    [warning] = caplog.messages
    assert "there is no C compiler" in warning


def test_a_gpu_with_a_triton_that_cannot_be_loaded_gets_plain_pytorch(monkeypatch, caplog):
    monkeypatch.setattr(toolchain, "missing", lambda: None)
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "src.engine.encoder.triton_operations", raising=False)
    assert isinstance(select_operations(torch.device("cuda")), PlainOperations)
    [warning] = caplog.messages
    assert "triton" in warning


def test_a_cpu_gets_plain_pytorch_without_a_message(caplog):
    assert isinstance(select_operations(CPU), PlainOperations)
    assert not own_messages(caplog)


def test_a_clip_longer_than_the_settings_expect_has_the_text_of_nemos_encoder():
    settings = Settings(model_id="tiny", use_local_attention=False, chunk_seconds=10)
    expected = NemoModel.load(settings.model_copy(update={"encoder": "nemo"}))
    assert texts(NemoModel.load(settings), ["long-60s"]) == texts(expected, ["long-60s"])


def test_live_text_is_that_of_nemos_encoder(tiny, nemos):
    clips = [clip(name) for name in NAMES]
    ours, theirs = (streamed(model, clips, default()) for model in (tiny, nemos))
    assert [live.text for live in ours] == [live.text for live in theirs]
    times = [[token.start_s for live in lives for token in live.tokens] for lives in (ours, theirs)]
    np.testing.assert_array_equal(*times)


def test_a_long_file_in_chunks_has_the_text_that_it_has_with_nemos_encoder(tiny, nemos, tmp_path):
    long = (CLIPS / "long-60s.flac").read_bytes()
    answers = []
    for name, model in (("own", tiny), ("nemo", nemos)):
        settings = Settings(model_id="tiny", chunk_seconds=20, max_queue_wait_s=60, log_dir=tmp_path / name)
        with serving(settings, lambda _, model=model: model) as running:
            answers.append(running.upload(long, response_format="verbose_json").json())
    assert answers[0]["text"] == answers[1]["text"] != ""
    assert [each["start"] for each in answers[0]["segments"]] == [each["start"] for each in answers[1]["segments"]]
