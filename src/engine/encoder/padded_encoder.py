"""Encoding of batches without CUDA graphs: clips are padded to the longest, on a CPU in groups that fit its caches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.audio.samples import SAMPLE_RATE, Samples
from src.engine.device_errors import classify_device_errors
from src.engine.encoder.sub_batches import split_by_length

if TYPE_CHECKING:
    import torch

AudioEncoder = Callable[["torch.Tensor", "torch.Tensor"], tuple["torch.Tensor", "torch.Tensor"]]
"""Encodes samples (clips, samples) float32 with their lengths (clips,) int64 in samples, both on the device.

Returns frames (clips, frames, width) and the number of real frames, (clips,) int64. Frames beyond those are undefined.
"""

CPU_GROUP_S = 36.0
"""Padded seconds of audio that the encoder gets at a time on a CPU, so that they fit the caches. 32 clips of 2 to 30 s
took 5.2 s in one pass and 2.0 s in groups of 24 or 48 s; eight clips of 60 s took 2.5 s and 1.8 s (two cores, the
bundled model)."""


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """Clips padded to the longest."""

    samples: "torch.Tensor"
    """(clips, longest) float32, padded with zeros; in pinned memory if the device is a GPU."""
    lengths: "torch.Tensor"
    """(clips,) int64, in samples."""


class PaddedEncoder:
    """A `BatchEncoder` that calls `encode_audio` once per batch on a GPU, and once per group of clips on a CPU."""

    def __init__(self, encode_audio: AudioEncoder, device: "torch.device") -> None:
        self.encode_audio = encode_audio
        self._device = device

    def describe(self) -> str:
        """Describe for the log how CUDA graphs are used."""
        return "CUDA graphs off"

    def stage(self, clips: Sequence[Samples]) -> PaddedBatch:
        """Pad clips of 16 kHz mono float32 samples to the longest; any thread may call it."""
        import torch

        with classify_device_errors(self._device):  # pinned memory is allocated by the GPU's driver
            samples = torch.zeros(
                (len(clips), max(map(len, clips))), dtype=torch.float32, pin_memory=self._device.type == "cuda"
            )
        for row, clip in zip(samples, clips, strict=True):
            row[: len(clip)] = torch.from_numpy(clip)
        return PaddedBatch(samples, torch.tensor([len(clip) for clip in clips]))

    def encode(self, batch: PaddedBatch) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return the frames, (clips, frames, width), and each clip's number of frames, (clips,) int64."""
        import torch

        with torch.inference_mode():
            groups = self._groups(batch.lengths)
            if len(groups) == 1:
                return self._encode(batch.samples, batch.lengths)
            encoded = [
                self._encode(batch.samples[clips, : batch.lengths[clips].max()], batch.lengths[clips])
                for clips in groups
            ]
            longest = max(frames.shape[1] for frames, _ in encoded)
            all_frames = encoded[0][0].new_zeros(len(batch.lengths), longest, encoded[0][0].shape[2])
            all_counts = batch.lengths.new_empty(len(batch.lengths))
            for clips, (frames, counts) in zip(groups, encoded, strict=True):
                all_frames[clips, : frames.shape[1]] = frames
                all_counts[clips] = counts
        return all_frames, all_counts

    def _groups(self, lengths: "torch.Tensor") -> list[list[int]]:
        """Return the indices of the clips that are encoded at a time."""
        if self._device.type != "cpu":
            return [list(range(len(lengths)))]
        return split_by_length(lengths.tolist(), round(CPU_GROUP_S * SAMPLE_RATE))

    def _encode(self, samples: "torch.Tensor", lengths: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
        return self.encode_audio(
            samples.to(self._device, non_blocking=True),
            lengths.to(self._device, non_blocking=True),
        )
