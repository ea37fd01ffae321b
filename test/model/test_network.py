"""A checkpoint's network: restored, frozen and moved."""

import errno
import logging
import os

import pytest
import torch
from media import CLIPS

from src.engine.checkpoint import TINY
from src.engine.network import freeze, move_to_device, quiet_nemo, restore_network
from src.errors import ModelUnavailable


@pytest.fixture(scope="module")
def network():
    with quiet_nemo():
        return restore_network(TINY, "tiny")


def test_a_network_is_restored_on_the_cpu_in_float32(network):
    assert {(weight.device.type, weight.dtype) for weight in network.parameters()} == {("cpu", torch.float32)}


def test_a_file_that_is_no_checkpoint_is_rejected_in_one_sentence():
    with pytest.raises(ModelUnavailable) as error, quiet_nemo():
        restore_network(CLIPS / "transcripts.tsv", "transcripts")
    assert str(error.value).startswith("PARAKEET_MODEL_ID=transcripts is no checkpoint that NeMo can load (")
    assert "\n" not in str(error.value)


def test_a_full_disk_is_not_blamed_on_the_checkpoint(monkeypatch):
    from nemo.collections.asr.models import ASRModel

    def restore(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/model_weights.ckpt")

    monkeypatch.setattr(ASRModel, "restore_from", restore)
    with pytest.raises(
        ModelUnavailable, match=r"^tiny cannot be unpacked into .*No space left.* set TMPDIR to another"
    ):
        restore_network(TINY, "tiny")


def test_a_frozen_network_gives_the_same_features_twice(network):
    with quiet_nemo():
        freeze(network, 1)
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())
    noise = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    first, second = (network.preprocessor(input_signal=noise, length=torch.tensor([16_000]))[0] for _ in range(2))
    assert torch.equal(first, second), "no dither"
    assert first.shape[2] == 101, "no padding"


def test_weights_change_their_number_format_and_features_do_not(network):
    move_to_device(network, torch.device("cpu"), torch.bfloat16)
    for part in (network.encoder, network.decoder, network.joint):
        assert {weight.dtype for weight in part.parameters()} == {torch.bfloat16}
    assert network.preprocessor.featurizer.fb.dtype == torch.float32


def test_of_nemo_only_errors_reach_the_log(network, caplog):
    nemo = logging.getLogger("nemo_logger")
    with quiet_nemo():
        passed = [nemo.filter(nemo.makeRecord("nemo_logger", level, "", 0, "", (), None)) for level in (20, 30, 40)]
    assert list(map(bool, passed)) == [False, False, True]
