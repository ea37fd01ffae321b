"""Attention context of an encoder: which frames attention sees, and local attention for NeMo's encoder.

NeMo's `change_attention_model()` replaces the attention layers and damages the model: the new layers have
randomly initialised biases where the checkpoint has none, and their dropout is on. `LocalAttention` gives the new
layers the checkpoint's own weights, removes all other parameters, and sets evaluation mode.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from src.engine.frames import FEATURES_PER_FRAME, SAMPLES_PER_FEATURE
from src.settings import Settings


def local_context(settings: Settings) -> int | None:
    """Return the frames to each side that the settings limit attention to; None for the checkpoint's own attention."""
    return settings.local_attention_context if settings.use_local_attention else None


def attention_context(encoder: Any, settings: Settings) -> int | None:
    """Return the frames to each side that attention sees, None for all.

    `encoder` is NeMo's, as the checkpoint has it; its context is the same on both sides.
    """
    context = local_context(settings)
    if context is None:
        context = int(encoder.att_context_size[0])
        return None if context < 0 else context
    return context


@dataclass(frozen=True, slots=True)
class AttentionSet:
    """The parts of a NeMo encoder that differ between its kinds of attention."""

    name: str
    context: list[int]
    positions: Any
    layers: list[Any]

    @classmethod
    def from_encoder(cls, encoder: Any) -> "AttentionSet":
        """Return the parts that are installed in an encoder."""
        layers = [layer.self_attn for layer in encoder.layers]
        return cls(encoder.self_attention_model, encoder.att_context_size, encoder.pos_enc, layers)

    def install(self, encoder: Any) -> None:
        """Put these parts into an encoder."""
        encoder.self_attention_model = self.name
        encoder.att_context_size = self.context
        encoder.pos_enc = self.positions
        for layer, attention in zip(encoder.layers, self.layers, strict=True):
            layer.self_attn = attention
            layer.self_attention_model = self.name


class LocalAttention:
    """Local attention of `context` frames to each side in a NeMo network, and the checkpoint's own for short batches.

    If the context covers a whole batch, full attention sees the same frames and is 1.3 to 1.6 times as fast on a CPU.
    So a batch that short gets the checkpoint's attention, and its text does not depend on the setting.

    The network must be in evaluation mode, on its device and of its dtype.
    """

    def __init__(self, network: Any, context: int) -> None:
        self._encoder = network.encoder
        self._checkpoint_set = AttentionSet.from_encoder(self._encoder)
        network.change_attention_model("rel_pos_local_attn", [context, context])
        self._local_set = AttentionSet.from_encoder(self._encoder)
        for source, target in zip(self._checkpoint_set.layers, self._local_set.layers, strict=True):
            _share_parameters(source, target)
        self._encoder.eval()
        self._encoder.requires_grad_(False)
        is_full = self._checkpoint_set.name == "rel_pos" and list(self._checkpoint_set.context) == [-1, -1]
        self._covered_frames = context + 1 if is_full else 0

    @contextmanager
    def for_length(self, samples: int) -> Iterator[None]:
        """Run the block with the attention for a batch whose longest clip has `samples` samples."""
        features = samples // SAMPLES_PER_FEATURE + 1
        if features > self._covered_frames * FEATURES_PER_FRAME:
            yield
            return
        self._checkpoint_set.install(self._encoder)
        try:
            yield
        finally:
            self._local_set.install(self._encoder)


def _share_parameters(source: Any, target: Any) -> None:
    """Give `target` the parameters of `source` under the same names, and remove all others that `target` has."""
    shared = dict(source.named_parameters())
    for name, _ in list(target.named_parameters()):
        owner, _, parameter = name.rpartition(".")
        target.get_submodule(owner).register_parameter(parameter, shared.get(name))
