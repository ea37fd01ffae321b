"""Relative position encodings, and the tables of their projections."""

import math
from types import SimpleNamespace

import pytest
import torch

from src.engine.encoder.positions import PositionTables, sinusoids

CPU = torch.device("cpu")
WIDTH, HEADS = 8, 2


def layer(seed: int) -> SimpleNamespace:
    """As much of NeMo's attention layer as positions are made from."""
    generator = torch.Generator().manual_seed(seed)
    linear = torch.nn.Linear(WIDTH, WIDTH, bias=False)
    linear.weight.data = torch.randn(WIDTH, WIDTH, generator=generator)
    biases = torch.randn(2, HEADS, WIDTH // HEADS, generator=generator)
    return SimpleNamespace(h=HEADS, linear_pos=linear, pos_bias_u=biases[0], pos_bias_v=biases[1])


LAYERS = [layer(0), layer(1)]


def test_an_encoding_has_the_sines_and_cosines_of_its_distance():
    encodings = sinusoids(3, 4, CPU)
    for row, distance in zip(encodings.tolist(), [2, 1, 0, -1, -2, -3], strict=True):
        rates = [1.0, 0.01]
        expected = [wave(distance * rate) for rate in rates for wave in (math.sin, math.cos)]
        assert row == pytest.approx(expected, abs=1e-6)


def test_each_layer_has_its_projection_by_head_and_its_shift():
    for found, each in zip(PositionTables(LAYERS, 5, CPU, torch.float32).up_to(5), LAYERS, strict=True):
        projected = sinusoids(5, WIDTH, CPU) @ each.linear_pos.weight.t() / math.sqrt(WIDTH // HEADS)
        torch.testing.assert_close(found.encodings, projected.view(10, HEADS, -1).transpose(0, 1))
        torch.testing.assert_close(found.shift, (each.pos_bias_u - each.pos_bias_v).flatten())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reach", [1, 4, 9])
def test_a_table_of_any_length_gives_the_same_distances(reach, dtype):
    """A reach of 9 is beyond the smaller table, so it is projected when needed."""
    smaller, larger = (PositionTables(LAYERS, size, CPU, dtype) for size in (4, 12))
    for one, other in zip(smaller.up_to(reach), larger.up_to(reach), strict=True):
        assert one.encodings.shape == (HEADS, 2 * reach, WIDTH // HEADS)
        assert one.encodings.dtype == dtype
        tolerance = 1e-5 if dtype == torch.float32 else 2e-2  # a bfloat16 weight has been rounded
        torch.testing.assert_close(one.encodings, other.encodings, atol=tolerance, rtol=tolerance)
        assert torch.equal(one.shift, other.shift)
