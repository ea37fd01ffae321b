"""The comparison of attention with its definition; `model` has that of whole encoders."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from src.engine.encoder import selfcheck
from src.engine.encoder.operations import BatchLayout, Operations, PlainOperations
from src.engine.encoder.selfcheck import EncoderMismatch

CPU = torch.device("cpu")


@dataclass
class Encoder:
    """As much of an encoder as the check of its attention needs."""

    dtype: torch.dtype
    context: int | None = None
    operations: Operations = field(default_factory=PlainOperations)
    device: torch.device = CPU
    width: int = 32
    heads: int = 4


class WrongContext(PlainOperations):
    """Attends to another context than the layout has."""

    def __init__(self, change) -> None:
        self._change = change

    def attend(self, qkv, heads, positions, layout):
        changed = layout if layout.context is None else replace(layout, context=self._change(layout.context))
        return super().attend(qkv, heads, positions, changed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("context", [None, 1, 16, 128])
def test_the_check_accepts_rounding_in_attention(dtype, context):
    selfcheck.check_attention(Encoder(dtype, context))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("change", [lambda c: c + 1, lambda c: c - 1, lambda _: None], ids=["wider", "narrower", "all"])
def test_the_check_finds_attention_to_a_context_that_is_wrong_by_one_frame(dtype, change):
    wrong = Encoder(dtype, 128, WrongContext(change))
    with pytest.raises(EncoderMismatch, match="its attention differs"):
        selfcheck.check_attention(wrong)


def mask_farthest_key(self, queries, keys):
    """Mask the farthest key on one side."""
    block = block_of(self, queries, keys)
    if self.context is None:
        return block
    apart = self._positions[queries, None] - self._positions[None, keys]
    return replace(block, masked=block.masked | (apart == self.context))


block_of = BatchLayout._block


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_check_finds_a_context_that_is_wrong_on_one_side(dtype, monkeypatch):
    monkeypatch.setattr(BatchLayout, "_block", mask_farthest_key)
    with pytest.raises(EncoderMismatch, match="its attention differs"):
        selfcheck.check_attention(Encoder(dtype, 128))


@pytest.mark.parametrize("count", [-1, 1], ids=["too few keys", "padding"])
def test_the_check_finds_attention_to_other_keys_than_the_real_ones(count):
    class Miscounting(PlainOperations):
        def attend(self, qkv, heads, positions, layout):
            return super().attend(qkv, heads, positions, replace(layout, counts=layout.counts + count))

    wrong = Encoder(torch.bfloat16, operations=Miscounting())
    with pytest.raises(EncoderMismatch, match="its attention differs"):
        selfcheck.check_attention(wrong)


def test_the_check_finds_padding_that_is_nan():
    class Leaving(PlainOperations):
        def attend(self, qkv, heads, positions, layout):
            seen = super().attend(qkv, heads, positions, layout)
            return seen.masked_fill(layout.is_padding.view(-1, 1), float("nan"))

    wrong = Encoder(torch.float32, operations=Leaving())
    with pytest.raises(EncoderMismatch, match="its attention"):
        selfcheck.check_attention(wrong)


def test_an_error_is_relative_to_the_norm_of_the_real_frames_only():
    expected, counts = torch.ones(2, 3, 4), torch.tensor([3, 1])
    found = torch.ones(2, 5, 4)
    found[1, 1:] = float("nan")
    found[:, 3:] = 7
    assert selfcheck.relative_error(found, expected, counts) == 0
    found[0, 0, 0] = 1 + 0.4
    assert selfcheck.relative_error(found, expected, counts) == pytest.approx(0.1)
    found[0, 0, 0] = float("inf")
    assert not selfcheck.relative_error(found, expected, counts) < 1
