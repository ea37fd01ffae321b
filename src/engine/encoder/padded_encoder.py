"""Batches for an encoder: clips padded to the longest, on a CPU in parts that fit its caches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.device_errors import classify_device_errors
from src.engine.encoder.sub_batches import split_by_length

if TYPE_CHECKING:
    import torch

AudioEncoder = Callable[["torch.Tensor", "torch.Tensor"], tuple["torch.Tensor", "torch.Tensor"]]
"""Encodes samples, (clips, samples) float32, of which `lengths`, (clips,) int64, are real; both are on the device.

Returns (clips, frames, width) and the number of real frames, (clips,) int64. What lies behind those is any number.
"""

CPU_SUB_BATCH_S = 36.0
"""Padded seconds of audio that the encoder gets at a time on a CPU: more at once does not fit the caches. 32 clips of 2
to 30 s in one batch took 5.2 s as a whole and 2.0 s in parts of 24 or 48 s, eight of 60 s 2.5 s and 1.8 s (two cores,
the bundled model)."""


@dataclass(frozen=True, slots=True)
class Padded:
    """Clips joined for one pass."""

    samples: "torch.Tensor"
    """(clips, longest) float32, padded with zeros; where a GPU reads it, in pinned memory."""
    lengths: "torch.Tensor"
    """(clips,) int64, in samples."""


class PaddedEncoder:
    """Encodes batches on `device` by `run`, in one pass on a GPU and in parts of like length on a CPU."""

    def __init__(self, run: AudioEncoder, device: "torch.device") -> None:
        self._run = run
        self._device = device

    def describe(self) -> str:
        """Say for the log how CUDA graphs are used."""
        return "CUDA graphs off"

    def stage(self, clips: Sequence[Samples]) -> Padded:
        """Pad clips of 16 kHz mono float32 samples to the longest; any thread may do so."""
        import torch

        with classify_device_errors(self._device):  # memory for a GPU's own reading is the GPU's to give
            samples = torch.zeros(
                (len(clips), max(map(len, clips))), dtype=torch.float32, pin_memory=self._device.type == "cuda"
            )
        for row, clip in zip(samples, clips, strict=True):
            row[: len(clip)] = torch.from_numpy(clip)
        return Padded(samples, torch.tensor([len(clip) for clip in clips]))

    def encode(self, padded: Padded) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return what is encoded, (clips, frames, width), and each clip's number of frames, (clips,) int64."""
        import torch

        with torch.inference_mode():
            parts = self._parts(padded.lengths)
            if len(parts) == 1:
                return self._encode(padded.samples, padded.lengths)
            encoded = [
                self._encode(padded.samples[part, : padded.lengths[part].max()], padded.lengths[part]) for part in parts
            ]
            frames = max(outputs.shape[1] for outputs, _ in encoded)
            joined = encoded[0][0].new_zeros(len(padded.lengths), frames, encoded[0][0].shape[2])
            counts = padded.lengths.new_empty(len(padded.lengths))
            for part, (outputs, of_part) in zip(parts, encoded, strict=True):
                joined[part, : outputs.shape[1]] = outputs
                counts[part] = of_part
        return joined, counts

    def _parts(self, lengths: "torch.Tensor") -> list[list[int]]:
        """Return the clips of a batch, by number, in the parts that the encoder takes at a time."""
        if self._device.type != "cpu":
            return [list(range(len(lengths)))]
        return split_by_length(lengths.tolist(), round(CPU_SUB_BATCH_S * SAMPLE_RATE))

    def _encode(self, samples: "torch.Tensor", lengths: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
        return self._run(
            samples.to(self._device, non_blocking=True),
            lengths.to(self._device, non_blocking=True),
        )
