"""The attention context, and local attention in a stand-in for a NeMo network."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from src.engine.encoder.attention import LocalAttention, attention_context, local_context
from src.settings import Settings

SHORT, LONG = 3 * 1280, 100 * 1280
"""Samples of a batch that a context of 4 frames covers, and of one that it does not."""


class Attention(nn.Module):
    """Attention with a weight, and with a bias if NeMo has made it anew."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=bias)
        self.dropout = nn.Dropout(0.5)


class Encoder(nn.Module):
    self_attention_model = "rel_pos"

    def __init__(self, context: list[int]) -> None:
        super().__init__()
        self.att_context_size = context
        self.pos_enc = nn.Identity()
        self.layers = nn.ModuleList(nn.Module() for _ in range(2))
        self.set_attention(bias=False)

    def set_attention(self, *, bias: bool) -> None:
        for layer in self.layers:
            layer.self_attn = Attention(bias)
            layer.self_attention_model = self.self_attention_model


class Network:
    def __init__(self, context: tuple[int, int] = (-1, -1)) -> None:
        self.encoder = Encoder(list(context)).eval().requires_grad_(False)

    def change_attention_model(self, name: str, context: list[int]) -> None:
        """Replace the layers as NeMo does: with other parameters, biases among them, and in training mode."""
        self.encoder.self_attention_model = name
        self.encoder.att_context_size = context
        self.encoder.pos_enc = nn.Identity()
        self.encoder.set_attention(bias=True)


def installed(encoder: Encoder) -> tuple[str, list[int]]:
    assert all(layer.self_attention_model == encoder.self_attention_model for layer in encoder.layers)
    return encoder.self_attention_model, list(encoder.att_context_size)


@pytest.mark.parametrize(
    ("checkpoint", "settings", "context"),
    [
        ([-1, -1], {"use_local_attention": False}, None),
        ([12, 12], {"use_local_attention": False}, 12),
        ([-1, -1], {"use_local_attention": True, "local_attention_context": 64}, 64),
        ([12, 12], {"use_local_attention": True, "local_attention_context": 64}, 64),
    ],
)
def test_the_context_is_that_of_the_settings_or_of_the_checkpoint(checkpoint, settings, context):
    assert attention_context(SimpleNamespace(att_context_size=checkpoint), Settings(**settings)) == context
    assert local_context(Settings(**settings)) == (context if settings["use_local_attention"] else None)


def test_local_attention_has_the_checkpoints_parameters_and_no_others_and_does_not_train():
    network = Network()
    before = [layer.self_attn.linear.weight for layer in network.encoder.layers]
    LocalAttention(network, 4)
    assert installed(network.encoder) == ("rel_pos_local_attn", [4, 4])
    for layer, weight in zip(network.encoder.layers, before, strict=True):
        assert layer.self_attn.linear.weight is weight
        assert layer.self_attn.linear.bias is None
        assert not layer.self_attn.dropout.training
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())


def test_a_batch_that_the_context_covers_gets_full_attention_and_a_longer_one_local_attention():
    network = Network()
    positions = network.encoder.pos_enc
    attention = LocalAttention(network, 4)
    with attention.for_length(SHORT):
        assert installed(network.encoder) == ("rel_pos", [-1, -1])
        assert network.encoder.pos_enc is positions
    assert installed(network.encoder) == ("rel_pos_local_attn", [4, 4])
    with attention.for_length(LONG):
        assert installed(network.encoder) == ("rel_pos_local_attn", [4, 4])


def test_an_error_leaves_local_attention_installed():
    network = Network()
    attention = LocalAttention(network, 4)
    with pytest.raises(torch.OutOfMemoryError), attention.for_length(SHORT):
        raise torch.OutOfMemoryError
    assert installed(network.encoder) == ("rel_pos_local_attn", [4, 4])


def test_a_checkpoint_that_is_not_of_full_attention_always_gets_local_attention():
    network = Network(context=(12, 12))
    with LocalAttention(network, 4).for_length(SHORT):
        assert installed(network.encoder) == ("rel_pos_local_attn", [4, 4])
