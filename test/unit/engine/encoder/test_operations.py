"""The encoder's steps in plain PyTorch, beside their definitions."""

import itertools
import math

import pytest
import torch

from src.engine.encoder.operations import (
    MASKED_SCORE,
    QUERY_BLOCK,
    BatchLayout,
    DepthwiseConv,
    PlainOperations,
    RelativePositions,
    taps_first,
)

HEADS, HEAD = 2, 4


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def layout_of(counts: list[int], frames: int, context: int | None = None) -> BatchLayout:
    return BatchLayout(len(counts), frames, torch.tensor(counts), context, torch.tensor(MASKED_SCORE))


def depthwise(channels: int, *taps: int) -> DepthwiseConv:
    weight = numbers(channels, 1, *taps)
    return DepthwiseConv(weight, taps_first(weight), numbers(channels))


def test_the_weights_by_tap_are_the_same_numbers_in_row_major_order():
    weight = numbers(5, 1, 3, 3)
    by_tap = taps_first(weight)
    assert by_tap.shape == (9, 5)
    assert by_tap.is_contiguous()
    assert torch.equal(by_tap[3 * 1 + 2], weight[:, 0, 1, 2])


def test_a_subsampling_step_is_a_convolution_of_stride_2_that_sees_no_padding():
    conv, counts = depthwise(3, 3, 3), [5, 2]
    x = numbers(2, 5, 4, 3)
    found = PlainOperations().subsample_step(x.clone(), torch.tensor(counts), conv)
    assert found.shape == (2, 3, 2, 3)
    assert found.is_contiguous()
    for clip, frame, band in itertools.product(range(2), range(3), range(2)):
        expected = conv.bias.clone()
        for i, j in itertools.product(range(3), range(3)):
            at, of = 2 * frame + i - 1, 2 * band + j - 1
            if 0 <= at < counts[clip] and 0 <= of < 4:
                expected += conv.weight_by_tap[3 * i + j] * x[clip, at, of].relu()
        torch.testing.assert_close(found[clip, frame, band], expected)


def test_a_convolution_is_centred_on_each_frame_and_sees_no_padding():
    conv, counts, frames = depthwise(3, 5), [6, 4], 6
    x = numbers(2 * frames, 6)
    found = PlainOperations().convolve(x, conv, layout_of(counts, frames))
    gated = (x[:, :3] * x[:, 3:].sigmoid()).view(2, frames, 3)
    for clip, frame in itertools.product(range(2), range(frames)):
        total = conv.bias.clone()
        for tap in range(5):
            at = frame + tap - 2
            if 0 <= at < counts[clip]:
                total += conv.weight_by_tap[tap] * gated[clip, at]
        torch.testing.assert_close(found[clip * frames + frame], total * total.sigmoid())


@pytest.mark.parametrize("context", [None, 0, 2])
def test_attention_weighs_the_real_keys_within_the_context_by_content_and_position(context):
    counts, frames, width = [7, 3], 8, HEADS * HEAD
    qkv, layout = numbers(2 * frames, 3 * width), layout_of(counts, frames, context)
    positions = RelativePositions(numbers(HEADS, 2 * frames, HEAD), numbers(width))
    found = PlainOperations().attend(qkv, HEADS, positions, layout)
    q, k, v = qkv.view(2, frames, 3, HEADS, HEAD).unbind(2)
    shift = positions.shift.view(HEADS, HEAD)
    for clip, head in itertools.product(range(2), range(HEADS)):
        for query in range(counts[clip]):
            keys = [key for key in range(counts[clip]) if context is None or abs(query - key) <= context]
            scores = [
                (q[clip, query, head] + shift[head]) @ k[clip, key, head] / math.sqrt(HEAD)
                + q[clip, query, head] @ positions.encodings[head, frames - 1 - query + key]
                for key in keys
            ]
            expected = torch.stack(scores).softmax(0) @ v[clip, keys, head]
            row = found[clip * frames + query].view(HEADS, HEAD)[head]
            torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-4)
    assert found.isfinite().all()


def test_full_attention_and_short_clips_are_one_block():
    assert len(layout_of([2_000], 2_000).blocks) == 1
    assert len(layout_of([QUERY_BLOCK + 32], QUERY_BLOCK + 32, 16).blocks) == 1


def test_local_attention_to_long_clips_is_in_blocks_that_have_each_query_once_with_all_keys_it_sees():
    context, frames = 16, 3 * QUERY_BLOCK + 10
    blocks = layout_of([frames], frames, context).blocks
    assert [query for block in blocks for query in range(frames)[block.queries]] == list(range(frames))
    for block in blocks:
        seen = range(max(0, block.queries.start - context), min(frames, block.queries.stop + context))
        assert range(frames)[block.keys] == seen
