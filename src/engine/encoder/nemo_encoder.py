"""NeMo's features and encoder: for checkpoints that `ParakeetEncoder` does not support, and as its reference."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from src.engine.encoder.attention import LocalAttention

if TYPE_CHECKING:
    import torch


class NemoEncoder:
    """NeMo's preprocessor and encoder as one step from samples to frames: an `AudioEncoder`.

    Args:
        network: the NeMo network, in evaluation mode, on its device and of its dtype.
        context: frames of local attention to each side; None for the checkpoint's own attention.
    """

    name = "NeMo's"

    def __init__(self, network: Any, context: int | None) -> None:
        self._preprocessor = network.preprocessor
        self._local_attention = None if context is None else LocalAttention(network, context)
        self._encoder = network.encoder
        self._dtype: torch.dtype = next(network.encoder.parameters()).dtype

    def __call__(self, samples: "torch.Tensor", lengths: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
        """Encode a batch; see `padded_encoder.AudioEncoder`."""
        # Features are computed in float32 for weights of any dtype: bfloat16 audio costs accuracy (NeMo,
        # modules/audio_preprocessing.py).
        features, counts = self._preprocessor(input_signal=samples, length=lengths)
        with self._attention_for(samples.shape[1]):
            encoded: torch.Tensor
            encoded, counts = self._encoder(audio_signal=features.to(self._dtype), length=counts)
        return encoded.transpose(1, 2), counts

    def _attention_for(self, samples: int) -> AbstractContextManager[None]:
        return self._local_attention.for_length(samples) if self._local_attention else nullcontext()
