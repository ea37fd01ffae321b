"""The weights of a TDT network's joint and prediction networks, laid out for the kernels of `search_kernels.py`.

This file loads torch; it is imported when a model is loaded.
"""

from dataclasses import dataclass
from typing import Any

import torch

COLUMNS = 32
"""Columns of the joint network's matrix that one program takes; its tokens and its durations begin a tile each."""
_NO_COLUMN = -1e30
"""The bias of a column that does not exist, lower than every score."""


@dataclass(frozen=True, slots=True)
class LstmLayer:
    """An LSTM layer, with the four gates of a unit side by side: input, forget, cell, output."""

    weight_below: torch.Tensor | None
    """(4 * hidden, hidden), for the output of the layer below; None in the first layer, which has the embeddings."""
    bias: torch.Tensor | None
    """(4 * hidden,) float32; None in the first layer."""
    weight: torch.Tensor
    """(4 * hidden, hidden), for the layer's own hidden state."""


@dataclass(frozen=True, slots=True)
class SearchWeights:
    """What greedy search needs of a network, on the network's device and of its dtype unless another is named."""

    blank: int
    """The id of the blank, one more than the largest token's."""
    max_repeats: int
    """How many tokens one frame may have."""
    durations: torch.Tensor
    """In frames, (number,) int32."""
    encoder_weight: torch.Tensor
    """The joint network's projection of the encoder's frames, (width, encoder width)."""
    encoder_bias: torch.Tensor
    """(width,)."""
    embeddings: torch.Tensor
    """What the first layer's gates get of each token, (tokens and blank, 4 * hidden) float32, with the biases."""
    layers: tuple[LstmLayer, ...]
    output_weight: torch.Tensor
    """The joint network's projection of the prediction network's output, (width, hidden)."""
    output_bias: torch.Tensor
    """(width,) float32."""
    score_weight: torch.Tensor
    """The joint network's last matrix, (tiles * COLUMNS, width): rows of tokens, rows of zeros, rows of durations."""
    score_bias: torch.Tensor
    """(tiles * COLUMNS,) float32; very low in rows that stand for nothing."""

    @property
    def width(self) -> int:
        """The width of the joint network."""
        return self.output_weight.shape[0]

    @property
    def hidden(self) -> int:
        """The width of an LSTM layer."""
        return self.output_weight.shape[1]

    @property
    def token_tiles(self) -> int:
        """How many tiles of `COLUMNS` columns have scores of tokens; one more has those of durations."""
        return self.score_weight.shape[0] // COLUMNS - 1


def unsupported_reason(network: Any) -> str | None:
    """Return why the kernels cannot search with a NeMo network, None if they can."""
    computer = network.decoding.decoding.decoding_computer
    durations = getattr(computer, "durations", None)
    lstm = _lstm(network)
    if durations is None:
        return "it is no TDT model"
    if len(durations) > COLUMNS or not computer.max_symbols:
        return "its durations or its limit of tokens for a frame are unusual"
    if getattr(computer, "fusion_models", None):
        return "it has a language model"
    if type(lstm) is not torch.nn.LSTM or lstm.proj_size or lstm.bidirectional or not lstm.bias:
        return "its prediction network is no plain LSTM"
    if lstm.input_size != lstm.hidden_size or not isinstance(network.joint.joint_net[0], torch.nn.ReLU):
        return "its joint network is unusual"
    return None


def weights_of(network: Any) -> SearchWeights:
    """Return the weights of a NeMo network that `unsupported_reason` has no objection to."""
    computer, joint = network.decoding.decoding.decoding_computer, network.joint
    lstm, embedding = _lstm(network), network.decoder.prediction["embed"].weight
    with torch.inference_mode():
        layers = [_layer(lstm, number) for number in range(lstm.num_layers)]
        first_bias = _by_unit(lstm.bias_ih_l0.float() + lstm.bias_hh_l0.float())
        embeddings = embedding.float() @ _by_unit(lstm.weight_ih_l0).float().t() + first_bias
        score_weight, score_bias = _in_tiles(joint.joint_net[-1], len(computer.durations))
        return SearchWeights(
            blank=int(computer._blank_index),
            max_repeats=int(computer.max_symbols),
            durations=computer.durations.to(embedding.device, torch.int32),
            encoder_weight=joint.enc.weight,
            encoder_bias=joint.enc.bias,
            embeddings=embeddings,
            layers=tuple(layers),
            output_weight=joint.pred.weight.contiguous(),
            output_bias=joint.pred.bias.float(),
            score_weight=score_weight,
            score_bias=score_bias,
        )


def _lstm(network: Any) -> Any:
    return network.decoder.prediction["dec_rnn"].lstm


def _layer(lstm: Any, number: int) -> LstmLayer:
    weight = _by_unit(getattr(lstm, f"weight_hh_l{number}"))
    if number == 0:
        return LstmLayer(None, None, weight)
    bias = getattr(lstm, f"bias_ih_l{number}").float() + getattr(lstm, f"bias_hh_l{number}").float()
    return LstmLayer(_by_unit(getattr(lstm, f"weight_ih_l{number}")), _by_unit(bias), weight)


def _by_unit(gates: torch.Tensor) -> torch.Tensor:
    """Return PyTorch's rows of four gates, all units of a gate in a row, as rows of units, all gates in a row."""
    return gates.view(4, len(gates) // 4, *gates.shape[1:]).transpose(0, 1).flatten(0, 1).contiguous()


def _in_tiles(linear: Any, durations: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the joint network's last layer with rows between tokens and durations, so that each begins a tile."""
    tokens = linear.weight.shape[0] - durations
    start = -(-tokens // COLUMNS) * COLUMNS
    weight = linear.weight.new_zeros(start + COLUMNS, linear.weight.shape[1])
    bias = torch.full((start + COLUMNS,), _NO_COLUMN, device=weight.device)
    for target, source in ((weight, linear.weight), (bias, linear.bias.float())):
        target[:tokens] = source[:tokens]
        target[start : start + durations] = source[tokens:]
    return weight, bias
