"""Local attention for long clips beside the checkpoint's own full attention for short ones, on the same weights.

Where the context covers a whole batch the two see the same frames and so mean the same; full attention is then the
faster one (1.3 to 1.6 times on a CPU). So a batch that short gets full attention, and its text does not depend on the
setting.

NeMo 3.0.0's `change_attention_model()` replaces the attention layers, and damages the model on the way: the new layers
have randomly initialised biases where the checkpoint has none, and dropout is on in them. Here the new layers get the
checkpoint's weights themselves, no other parameter, and evaluation mode.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from src.engine.frames import FEATURES_PER_FRAME, SAMPLES_PER_FEATURE


@dataclass(frozen=True, slots=True)
class _Kind:
    """The parts of an encoder that differ between kinds of attention."""

    name: str
    context: list[int]
    positions: Any
    layers: list[Any]

    @classmethod
    def of(cls, encoder: Any) -> "_Kind":
        layers = [layer.self_attn for layer in encoder.layers]
        return cls(encoder.self_attention_model, encoder.att_context_size, encoder.pos_enc, layers)

    def put_into(self, encoder: Any) -> None:
        encoder.self_attention_model = self.name
        encoder.att_context_size = self.context
        encoder.pos_enc = self.positions
        for layer, attention in zip(encoder.layers, self.layers, strict=True):
            layer.self_attn = attention
            layer.self_attention_model = self.name


class LocalAttention:
    """Gives a NeMo network local attention of `context` frames to each side.

    The network must be in evaluation mode, on its device and of its dtype already.
    """

    def __init__(self, network: Any, context: int) -> None:
        self._encoder = network.encoder
        self._own = _Kind.of(self._encoder)
        network.change_attention_model("rel_pos_local_attn", [context, context])
        self._local = _Kind.of(self._encoder)
        for own, local in zip(self._own.layers, self._local.layers, strict=True):
            _share_parameters(own, local)
        self._encoder.eval()
        self._encoder.requires_grad_(False)
        sees_everything = self._own.name == "rel_pos" and list(self._own.context) == [-1, -1]
        self._reach_frames = context + 1 if sees_everything else 0

    @contextmanager
    def suiting(self, longest: int) -> Iterator[None]:
        """Run the block with the attention for a batch whose longest clip has `longest` samples."""
        features = longest // SAMPLES_PER_FEATURE + 1
        if features > self._reach_frames * FEATURES_PER_FRAME:
            yield
            return
        self._own.put_into(self._encoder)
        try:
            yield
        finally:
            self._local.put_into(self._encoder)


def _share_parameters(source: Any, target: Any) -> None:
    """Make the parameters of `source` those of `target` too, and take away all others that `target` has."""
    shared = dict(source.named_parameters())
    for name, _ in list(target.named_parameters()):
        owner, _, parameter = name.rpartition(".")
        target.get_submodule(owner).register_parameter(parameter, shared.get(name))
