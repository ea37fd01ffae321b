"""The comparison of two encoders, on encoders with random weights; `unit` has that of attention alone."""

import pytest
import torch
from nemo_parts import conformer, featurizer

from src.engine.encoder import selfcheck
from src.engine.encoder.fastconformer import FastConformerEncoder
from src.engine.encoder.features import Features
from src.engine.encoder.parakeet_encoder import ParakeetEncoder
from src.engine.encoder.selfcheck import EncoderMismatch

CPU = torch.device("cpu")


def own(encoder, dtype=torch.float32, context=None) -> ParakeetEncoder:
    return ParakeetEncoder(Features(featurizer(), CPU), FastConformerEncoder(encoder, CPU, dtype, context=context))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_check_accepts_rounding(dtype):
    encoder = conformer()
    assert selfcheck.compare(own(encoder, dtype), own(encoder), CPU, dtype, context=16) < selfcheck.MAX_ERRORS[dtype]


def test_the_check_finds_a_wrong_band_that_only_long_clips_show():
    encoder = conformer()
    whole, banded = own(encoder), own(encoder, context=100)
    assert selfcheck.compare(banded, whole, CPU, torch.bfloat16, context=None) == 0
    with pytest.raises(EncoderMismatch, match="of the norm"):
        selfcheck.compare(banded, own(encoder, context=128), CPU, torch.float32, context=128)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (lambda encoded, counts: (encoded, counts + 1), "counts"),
        (lambda encoded, counts: (encoded.masked_fill(encoded > 3, float("nan")), counts), "differs by nan"),
        (lambda encoded, counts: (encoded.roll(1, dims=1), counts), "differs by"),
    ],
)
def test_the_check_finds(changed, says):
    right = own(conformer())
    with pytest.raises(EncoderMismatch, match=says):
        selfcheck.compare(lambda *clips: changed(*right(*clips)), right, CPU, torch.bfloat16, context=None)
