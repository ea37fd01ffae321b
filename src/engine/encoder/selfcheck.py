"""Whether an encoder that is to stand in for another gives the same, asked on the device before it serves.

This file loads torch; it is imported when a model is loaded.
"""

from collections.abc import Iterator, Sequence

import torch

from src.engine.encoder.buckets import ALIGNMENT, aligned
from src.engine.encoder.fastconformer import FastConformerEncoder
from src.engine.encoder.operations import MASKED_SCORE, BatchLayout, RelativePositions
from src.engine.encoder.padded_encoder import AudioEncoder
from src.engine.frames import SAMPLES_PER_FRAME

Tensor = torch.Tensor

MAX_ERRORS = {torch.float32: 1e-3, torch.float16: 0.01, torch.bfloat16: 0.05}
"""Largest difference relative to the norm, by the dtype of the weights: rounding gives a fifth of it at most, a wrong
mask or shift more than 0.1."""
MAX_ATTENTION_ERRORS = {torch.float32: 1e-3, torch.float16: 5e-3, torch.bfloat16: 0.02}
"""The same of attention alone: rounding gives a fifth of it at most, a key too many or too few at each end of the usual
context 0.06."""
FULL_FRAMES = (13, 32, 50, 99)
"""Clips of 1, 2.5, 4 and 7.9 s, in frames of 80 ms."""
BESIDE_FRAMES = 38
"""A clip of 3 s, beside the one on which local attention is tried."""
MAX_LOCAL_FRAMES = 1504
"""The longest clip for that: 120 s. With a wider context, local attention is not tried."""


class EncoderMismatch(Exception):
    """One encoder does not give what the other gives."""


def compare(
    found: AudioEncoder, expected: AudioEncoder, device: torch.device, dtype: torch.dtype, context: int | None
) -> float:
    """Compare two encoders with weights of `dtype` on noise of several lengths, and return the largest error.

    `context` is that of local attention in frames, None for full attention.

    Raises:
        EncodersDiffer: counts differ, or numbers by more than rounding.
        Exception: whatever either of them raises.
    """
    largest = 0.0
    with torch.inference_mode():
        for frames in _clips(context):
            samples, lengths = _noise(frames, device)
            encoded, counts = found(samples, lengths)
            others, other_counts = expected(samples, lengths)
            if counts.tolist() != other_counts.tolist():
                raise EncoderMismatch(f"it counts {counts.tolist()} frames, not {other_counts.tolist()}")
            error = relative_error(encoded, others, counts)
            if not error < MAX_ERRORS[dtype]:  # nor is NaN
                raise EncoderMismatch(f"it differs by {error:.1g} of the norm")
            largest = max(largest, error)
    return largest


def check_attention(encoder: FastConformerEncoder) -> None:
    """Compare an encoder's attention with its definition, on numbers on which it depends on each key.

    What an encoder makes of noise is attended to so evenly that `compare` takes a wrong context for rounding.

    Raises:
        EncodersDiffer: numbers differ by more than rounding, or one that counts for nothing is not finite.
        Exception: whatever the encoder's operations raise.
    """
    with torch.inference_mode():
        for number, counts in enumerate(_clips(encoder.context)):
            qkv, distances, layout = _attention_input(encoder, counts, encoder.context if number else None)
            found = encoder.operations.attend(qkv, encoder.heads, distances, layout)
            expected = _attended(qkv, encoder.heads, distances, layout)
            shape = (layout.clips, layout.frames, encoder.width)
            error = relative_error(found.view(shape), expected.view(shape), layout.counts)
            if not (error < MAX_ATTENTION_ERRORS[encoder.dtype] and bool(found.isfinite().all())):
                raise EncoderMismatch(f"its attention differs by {error:.1g} of the norm")


def relative_error(found: Tensor, expected: Tensor, counts: Tensor) -> float:
    """Return how far (clips, frames, width) is from what is expected, relative to its norm, in the frames that count.

    NaN or infinite where a number is. Either may be padded to more frames than the other.
    """
    frames = min(found.shape[1], expected.shape[1])
    is_real = (torch.arange(frames, device=counts.device) < counts[:, None])[:, :, None]
    found, expected = (torch.where(is_real, each[:, :frames].float(), 0.0) for each in (found, expected))
    return float((found - expected).norm() / expected.norm())


def _clips(context: int | None) -> Iterator[Sequence[int]]:
    """Yield the frames of the clips of each batch: of short clips, then of a long one beside a short one."""
    yield FULL_FRAMES
    if context is not None and 2 * context < MAX_LOCAL_FRAMES:
        # Most of its frames see a part of the clip, those in the middle on both sides: 22 s with the usual context.
        yield 2 * context + context // 8 + 2, BESIDE_FRAMES


def _noise(frames: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return samples (clips, samples) and their lengths (clips,)."""
    lengths = torch.tensor(frames) * SAMPLES_PER_FRAME - SAMPLES_PER_FRAME // 3  # whole frames would show less
    chance = torch.Generator().manual_seed(0)
    samples = torch.randn(len(frames), int(lengths.max()), generator=chance).mul_(0.1)
    return samples.to(device), lengths.to(device)


def _attention_input(
    encoder: FastConformerEncoder, counts: Sequence[int], context: int | None
) -> tuple[Tensor, RelativePositions, BatchLayout]:
    """Return what an encoder's operations attend to, of random numbers, for clips of so many frames."""
    chance = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=chance).to(encoder.device, encoder.dtype)

    clips, frames, head = len(counts), aligned(max(counts)), encoder.width // encoder.heads
    reach = frames if context is None else min(frames, aligned(context + 1))
    table = numbers(encoder.heads, 2 * reach + 2 * ALIGNMENT, head).div_(head**0.5)
    distances = RelativePositions(table[:, ALIGNMENT:-ALIGNMENT], numbers(encoder.width))
    low = torch.tensor(MASKED_SCORE, dtype=encoder.dtype, device=encoder.device)
    layout = BatchLayout(clips, frames, torch.tensor(counts, device=encoder.device), context, low)
    return numbers(clips * frames, 3 * encoder.width), distances, layout


def _attended(qkv: Tensor, heads: int, distances: RelativePositions, layout: BatchLayout) -> Tensor:
    """Return what `Operations.attend` defines, in float32, step by step."""
    q, k, v = qkv.float().view(layout.clips, layout.frames, 3, heads, -1).permute(2, 0, 3, 1, 4)
    places = torch.arange(layout.frames, device=qkv.device)
    apart = places[:, None] - places
    reach = distances.encodings.shape[1] // 2
    columns = (reach - 1 - apart).clamp_(0, 2 * reach - 1).expand(layout.clips, heads, -1, -1)
    contents = (q + distances.shift.float().view(heads, 1, -1)) @ k.transpose(2, 3) / q.shape[3] ** 0.5
    positions = (q @ distances.encodings.float().transpose(1, 2)).gather(3, columns)
    masked = (places >= layout.counts[:, None])[:, None, None]
    if layout.context is not None:
        masked = masked | (apart.abs() > layout.context)
    weights = (contents + positions).masked_fill(masked, MASKED_SCORE).softmax(3)
    seen: Tensor = weights @ v
    return seen.transpose(1, 2).reshape(qkv.shape[0], -1)
