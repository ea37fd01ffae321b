"""Features and FastConformer encoder of this project as one step from samples to frames.

This file loads torch; it is imported when a model is loaded.
"""

import torch

from src.engine.encoder.fastconformer import FastConformerEncoder
from src.engine.encoder.features import Features

Tensor = torch.Tensor


class ParakeetEncoder:
    """This project's own features and encoder on the device: an `AudioEncoder`, as `NemoEncoder` is NeMo's."""

    def __init__(self, features: Features, encoder: FastConformerEncoder) -> None:
        self.features = features
        self.encoder = encoder

    @property
    def name(self) -> str:
        """Name for the log."""
        return f"own, {self.encoder.operations.name}"

    def __call__(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch; see `padded_encoder.AudioEncoder`."""
        return self.encoder(*self.features(samples, lengths))
