"""Whether an encoder that is to stand in for another gives the same, asked on the device before it serves.

This file loads torch; it is imported when a model is loaded.
"""

from collections.abc import Iterator, Sequence

import torch

from src.asr.padded_encoder import Pass
from src.asr.streaming import SAMPLES_PER_FRAME

Tensor = torch.Tensor

MAX_ERRORS = {torch.float32: 1e-3, torch.float16: 0.01, torch.bfloat16: 0.05}
"""Largest difference relative to the norm, by the dtype of the weights: rounding gives a fifth of it at most, a wrong
mask or shift more than 0.1."""
FULL_FRAMES = (13, 32, 50, 99)
"""Clips of 1, 2.5, 4 and 7.9 s, in frames of 80 ms."""
BESIDE_FRAMES = 38
"""A clip of 3 s, beside the one on which local attention is tried."""
MAX_LOCAL_FRAMES = 1504
"""The longest clip for that: 120 s. With a wider context, local attention is not tried."""


class EncodersDiffer(Exception):
    """One encoder does not give what the other gives."""


def compare(found: Pass, expected: Pass, device: torch.device, dtype: torch.dtype, context: int | None) -> float:
    """Compare two encoders with weights of `dtype` on noise of several lengths, and return the largest error.

    `context` is that of local attention in frames, None for full attention.

    Raises:
        EncodersDiffer: counts differ, or numbers by more than rounding.
        Exception: whatever either of them raises.
    """
    largest = 0.0
    with torch.inference_mode():
        for samples, lengths in _noise(context, device):
            encoded, counts = found(samples, lengths)
            others, other_counts = expected(samples, lengths)
            if counts.tolist() != other_counts.tolist():
                raise EncodersDiffer(f"it counts {counts.tolist()} frames, not {other_counts.tolist()}")
            error = relative_error(encoded, others, counts)
            if not error < MAX_ERRORS[dtype]:  # nor is NaN
                raise EncodersDiffer(f"it differs by {error:.1g} of the norm")
            largest = max(largest, error)
    return largest


def relative_error(found: Tensor, expected: Tensor, counts: Tensor) -> float:
    """Return how far (clips, frames, width) is from what is expected, relative to its norm, in the frames that count.

    NaN or infinite where a number is. Either may be padded to more frames than the other.
    """
    frames = min(found.shape[1], expected.shape[1])
    is_real = (torch.arange(frames, device=counts.device) < counts[:, None])[:, :, None]
    found, expected = (torch.where(is_real, each[:, :frames].float(), 0.0) for each in (found, expected))
    return float((found - expected).norm() / expected.norm())


def _noise(context: int | None, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield samples (clips, samples) and their lengths (clips,): short clips, then a long one beside a short one."""
    yield _batch(FULL_FRAMES, device)
    if context is not None and 2 * context < MAX_LOCAL_FRAMES:
        # Most of its frames see a part of the clip, those in the middle on both sides: 22 s with the usual context.
        yield _batch((2 * context + context // 8 + 2, BESIDE_FRAMES), device)


def _batch(frames: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor(frames) * SAMPLES_PER_FRAME - SAMPLES_PER_FRAME // 3  # whole frames would show less
    chance = torch.Generator().manual_seed(0)
    samples = torch.randn(len(frames), int(lengths.max()), generator=chance).mul_(0.1)
    return samples.to(device), lengths.to(device)
