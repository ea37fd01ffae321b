"""Features and encoder as one step, with stand-ins for both."""

from types import SimpleNamespace

import torch

from src.engine.encoder.parakeet_encoder import ParakeetEncoder


class Doubling:
    operations = SimpleNamespace(name="plain PyTorch")

    def __call__(self, features, counts):
        return 2 * features, counts // 2


def test_the_encoder_gets_the_features_and_their_counts():
    encoder = ParakeetEncoder(lambda samples, lengths: (samples + 1, lengths // 160), Doubling())
    frames, counts = encoder(torch.tensor([[1.0, 2.0]]), torch.tensor([640]))
    assert frames.tolist() == [[4, 6]]
    assert counts.tolist() == [2]


def test_the_log_names_the_operations():
    assert ParakeetEncoder(None, Doubling()).name == "own, plain PyTorch"
