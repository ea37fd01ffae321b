"""Comparison of an encoder with its reference on the device, before it serves.

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
"""Limit on the difference relative to the norm, by the dtype of the weights. Rounding causes at most a fifth of it, a
wrong mask or shift more than 0.1."""
MAX_ATTENTION_ERRORS = {torch.float32: 1e-3, torch.float16: 5e-3, torch.bfloat16: 0.02}
"""The same limit for attention alone. Rounding causes at most a fifth of it; one key too many or too few at each end of
the usual context causes 0.06."""
FULL_FRAMES = (13, 32, 50, 99)
"""Clips of 1, 2.5, 4 and 7.9 s, in frames of 80 ms."""
SHORT_FRAMES = 38
"""A clip of 3 s that is in the batch of the long clip for local attention."""
MAX_LOCAL_FRAMES = 1504
"""Limit on the length of that long clip: 120 s. If the context needs a longer one, local attention is not checked."""


class EncoderMismatch(Exception):
    """An encoder gives another result than its reference."""


def compare(
    encoder: AudioEncoder, reference: AudioEncoder, device: torch.device, dtype: torch.dtype, context: int | None
) -> float:
    """Compare two encoders on noise of several lengths, and return the largest error relative to the norm.

    `dtype` is that of the weights, `context` that of local attention in frames, None for full attention.

    Raises:
        EncoderMismatch: the frame counts differ, or the frames differ by more than rounding.
        Exception: whatever either encoder raises.
    """
    largest = 0.0
    with torch.inference_mode():
        for frames in _clips(context):
            samples, lengths = _noise(frames, device)
            encoded, counts = encoder(samples, lengths)
            expected, expected_counts = reference(samples, lengths)
            if counts.tolist() != expected_counts.tolist():
                raise EncoderMismatch(f"it counts {counts.tolist()} frames, not {expected_counts.tolist()}")
            error = relative_error(encoded, expected, counts)
            if not error < MAX_ERRORS[dtype]:  # also if it is NaN
                raise EncoderMismatch(f"it differs by {error:.1g} of the norm")
            largest = max(largest, error)
    return largest


def check_attention(encoder: FastConformerEncoder) -> None:
    """Compare an encoder's attention with its definition, on random numbers for which each key matters.

    `compare` does not find a wrong context: an encoder attends to noise so evenly that the error looks like rounding.

    Raises:
        EncoderMismatch: the results differ by more than rounding, or a padded query's result is not finite.
        Exception: whatever the encoder's operations raise.
    """
    with torch.inference_mode():
        for number, counts in enumerate(_clips(encoder.context)):
            qkv, positions, layout = _attention_input(encoder, counts, encoder.context if number else None)
            found = encoder.operations.attend(qkv, encoder.heads, positions, layout)
            expected = _attend_by_definition(qkv, encoder.heads, positions, layout)
            shape = (layout.clips, layout.frames, encoder.width)
            error = relative_error(found.view(shape), expected.view(shape), layout.counts)
            if not (error < MAX_ATTENTION_ERRORS[encoder.dtype] and bool(found.isfinite().all())):
                raise EncoderMismatch(f"its attention differs by {error:.1g} of the norm")


def relative_error(found: Tensor, expected: Tensor, counts: Tensor) -> float:
    """Return the norm of the difference of two (clips, frames, width) relative to that of `expected`, in real frames.

    `counts`, (clips,) int64, has the real frames. The error is NaN or infinite if a number is. Either tensor may be
    padded to more frames than the other.
    """
    frames = min(found.shape[1], expected.shape[1])
    is_real = (torch.arange(frames, device=counts.device) < counts[:, None])[:, :, None]
    found, expected = (torch.where(is_real, each[:, :frames].float(), 0.0) for each in (found, expected))
    return float((found - expected).norm() / expected.norm())


def _clips(context: int | None) -> Iterator[Sequence[int]]:
    """Yield the frames of the clips of each batch: one of short clips, then one of a long and a short clip."""
    yield FULL_FRAMES
    if context is not None and 2 * context < MAX_LOCAL_FRAMES:
        # Most frames see only a part of this clip, those in the middle on both sides: 22 s with the usual context.
        yield 2 * context + context // 8 + 2, SHORT_FRAMES


def _noise(frames: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return random samples (clips, samples) and their lengths (clips,)."""
    # Partly filled last frames reveal more than whole ones.
    lengths = torch.tensor(frames) * SAMPLES_PER_FRAME - SAMPLES_PER_FRAME // 3
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(len(frames), int(lengths.max()), generator=generator).mul_(0.1)
    return samples.to(device), lengths.to(device)


def _attention_input(
    encoder: FastConformerEncoder, counts: Sequence[int], context: int | None
) -> tuple[Tensor, RelativePositions, BatchLayout]:
    """Return random input of `Operations.attend` for clips of `counts` frames, in the shape that the encoder uses."""
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(encoder.device, encoder.dtype)

    clips, frames, head = len(counts), aligned(max(counts)), encoder.width // encoder.heads
    reach = frames if context is None else min(frames, aligned(context + 1))
    table = numbers(encoder.heads, 2 * reach + 2 * ALIGNMENT, head).div_(head**0.5)
    positions = RelativePositions(table[:, ALIGNMENT:-ALIGNMENT], numbers(encoder.width))
    masked_score = torch.tensor(MASKED_SCORE, dtype=encoder.dtype, device=encoder.device)
    layout = BatchLayout(clips, frames, torch.tensor(counts, device=encoder.device), context, masked_score)
    return numbers(clips * frames, 3 * encoder.width), positions, layout


def _attend_by_definition(qkv: Tensor, heads: int, positions: RelativePositions, layout: BatchLayout) -> Tensor:
    """Return the result that `Operations.attend` defines, in float32, step by step."""
    q, k, v = qkv.float().view(layout.clips, layout.frames, 3, heads, -1).permute(2, 0, 3, 1, 4)
    frames = torch.arange(layout.frames, device=qkv.device)
    distances = frames[:, None] - frames
    reach = positions.encodings.shape[1] // 2
    columns = (reach - 1 - distances).clamp_(0, 2 * reach - 1).expand(layout.clips, heads, -1, -1)
    content_scores = (q + positions.shift.float().view(heads, 1, -1)) @ k.transpose(2, 3) / q.shape[3] ** 0.5
    position_scores = (q @ positions.encodings.float().transpose(1, 2)).gather(3, columns)
    masked = (frames >= layout.counts[:, None])[:, None, None]
    if layout.context is not None:
        masked = masked | (distances.abs() > layout.context)
    weights = (content_scores + position_scores).masked_fill(masked, MASKED_SCORE).softmax(3)
    attended: Tensor = weights @ v
    return attended.transpose(1, 2).reshape(qkv.shape[0], -1)
