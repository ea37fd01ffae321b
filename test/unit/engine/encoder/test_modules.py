"""The modules that any device computes in the same way."""

import torch
import torch.nn.functional as F

from src.engine.encoder.modules import FeedForward, Linear, Norm


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_a_linear_layer_adds_a_part_of_its_output_in_place():
    linear = Linear(numbers(3, 4), numbers(3))
    x, y = numbers(5, 3), numbers(5, 4)
    expected = x + 0.5 * F.linear(y, linear.weight, linear.bias)
    linear.add_to(x, y, 0.5)
    torch.testing.assert_close(x, expected)
    torch.testing.assert_close(linear(y), F.linear(y, linear.weight, linear.bias))


def test_a_linear_layer_may_have_no_bias():
    linear = Linear(numbers(3, 4), None)
    x, y = numbers(5, 3), numbers(5, 4)
    expected = x + F.linear(y, linear.weight)
    linear.add_to(x, y)
    torch.testing.assert_close(x, expected)


def test_a_feed_forward_module_adds_its_share_to_its_input():
    norm = Norm(numbers(4), numbers(4), 1e-5)
    module = FeedForward(norm, Linear(numbers(8, 4), None), Linear(numbers(4, 8), numbers(4)), 0.5)
    x = numbers(6, 4)
    normalised = F.layer_norm(x, (4,), norm.weight, norm.bias, norm.eps)
    expected = x + 0.5 * module.outer(F.silu(module.inner(normalised)))
    module.add_to(x)
    torch.testing.assert_close(x, expected)
