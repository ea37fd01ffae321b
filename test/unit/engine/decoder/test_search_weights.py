"""The layout of a network's weights for the search's kernels."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from src.engine.decoder.search_weights import COLUMNS, unsupported_reason, weights_of

HIDDEN, WIDTH, TOKENS, DURATIONS = 6, 10, 40, [0, 1, 2]


def network(**changes):
    """The parts of a NeMo network that the weights come from; `changes` are of its computer or replace its parts."""
    torch.manual_seed(0)
    joint_net = nn.Sequential(nn.ReLU(), nn.Dropout(), nn.Linear(WIDTH, TOKENS + 1 + len(DURATIONS)))
    joint = SimpleNamespace(enc=nn.Linear(8, WIDTH), pred=nn.Linear(HIDDEN, WIDTH), joint_net=joint_net)
    computer = SimpleNamespace(durations=torch.tensor(DURATIONS), max_symbols=10, fusion_models=[], _blank_index=TOKENS)
    parts = {"lstm": nn.LSTM(HIDDEN, HIDDEN, num_layers=2), "activation": joint_net[0]}
    for name, value in changes.items():
        if name in parts:
            parts[name] = value
        else:
            setattr(computer, name, value)
    joint.joint_net[0] = parts["activation"]
    prediction = {"embed": nn.Embedding(TOKENS + 1, HIDDEN), "dec_rnn": SimpleNamespace(lstm=parts["lstm"])}
    return SimpleNamespace(
        decoder=SimpleNamespace(prediction=prediction),
        joint=joint,
        decoding=SimpleNamespace(decoding=SimpleNamespace(decoding_computer=computer)),
    )


def gates_of(rows):
    """The four gates of each unit, (units, 4), of a row of them side by side."""
    return rows.view(-1, 4)


def test_the_layers_give_the_state_that_pytorchs_lstm_gives():
    net = network()
    weights = weights_of(net)
    hidden, cell = torch.randn(2, 1, HIDDEN), torch.randn(2, 1, HIDDEN)
    token = torch.tensor(7)
    lstm, embed = net.decoder.prediction["dec_rnn"].lstm, net.decoder.prediction["embed"]
    with torch.inference_mode():
        _, (expected_hidden, expected_cell) = lstm(embed(token).view(1, 1, -1), (hidden, cell))
        below = None
        for number, layer in enumerate(weights.layers):
            gates = layer.weight @ hidden[number, 0]
            gates += weights.embeddings[token] if below is None else layer.weight_below @ below + layer.bias
            entry, forget, new, output = gates_of(gates).unbind(1)
            after = forget.sigmoid() * cell[number, 0] + entry.sigmoid() * new.tanh()
            below = output.sigmoid() * after.tanh()
            assert torch.allclose(after, expected_cell[number, 0], atol=1e-6)
            assert torch.allclose(below, expected_hidden[number, 0], atol=1e-6)


def test_tokens_and_durations_begin_a_tile_each_and_nothing_between_them_can_win():
    net = network()
    weights = weights_of(net)
    assert (weights.blank, weights.max_repeats, weights.durations.tolist()) == (TOKENS, 10, DURATIONS)
    assert (weights.width, weights.hidden, weights.token_tiles) == (WIDTH, HIDDEN, 2)
    x = torch.randn(WIDTH)
    with torch.inference_mode():
        expected = net.joint.joint_net[-1](x)
        scores = weights.score_weight @ x + weights.score_bias
    of_durations = slice(2 * COLUMNS, 2 * COLUMNS + len(DURATIONS))
    assert torch.allclose(scores[: TOKENS + 1], expected[: TOKENS + 1], atol=1e-6)
    assert torch.allclose(scores[of_durations], expected[TOKENS + 1 :], atol=1e-6)
    others = torch.ones(len(scores), dtype=torch.bool)
    others[: TOKENS + 1], others[of_durations] = False, False
    assert scores[others].max() < -9e28


def test_the_usual_network_is_supported():
    assert unsupported_reason(network()) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"durations": None}, "no TDT"),
        ({"durations": list(range(COLUMNS + 1))}, "durations"),
        ({"max_symbols": None}, "limit"),
        ({"fusion_models": ["a language model"]}, "language model"),
        ({"lstm": nn.LSTM(HIDDEN, HIDDEN, proj_size=2)}, "LSTM"),
        ({"lstm": nn.LSTM(HIDDEN, HIDDEN, bias=False)}, "LSTM"),
        ({"lstm": nn.GRU(HIDDEN, HIDDEN)}, "LSTM"),
        ({"lstm": nn.LSTM(HIDDEN + 1, HIDDEN)}, "unusual"),
        ({"activation": nn.Tanh()}, "joint"),
    ],
)
def test_another_network_is_not(changes, reason):
    assert reason in unsupported_reason(network(**changes))
