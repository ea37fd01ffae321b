"""NeMo's preprocessor and encoder as one step, with stand-ins for both."""

from types import SimpleNamespace

import torch
from torch import nn

from src.engine.encoder.nemo_encoder import NemoEncoder


class Encoder(nn.Module):
    """Returns its features, (clips, width, frames), and remembers their dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))

    def forward(self, *, audio_signal, length):
        self.dtype = audio_signal.dtype
        return audio_signal, length


def preprocess(*, input_signal, length):
    """Two features of ten samples each."""
    assert input_signal.dtype == torch.float32
    return input_signal.view(len(input_signal), -1, 10).mT[:, :2], length // 10


def test_features_are_float32_the_encoder_gets_the_dtype_of_its_weights_and_frames_come_before_width():
    encoder = Encoder()
    samples = torch.arange(60, dtype=torch.float32).view(2, 30)
    nemo = NemoEncoder(SimpleNamespace(preprocessor=preprocess, encoder=encoder), None)
    frames, counts = nemo(samples, torch.tensor([30, 20]))
    assert encoder.dtype == torch.bfloat16
    assert frames.shape == (2, 3, 2)
    assert frames[0].tolist() == [[0, 1], [10, 11], [20, 21]]
    assert counts.tolist() == [3, 2]
    assert nemo.name == "NeMo's"
