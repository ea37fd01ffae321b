"""Triton kernels for the encoder's fused steps, each of which takes plain PyTorch 3 to 12 passes over memory.

A step does little arithmetic for the memory that it moves. So each kernel reads its input once, keeps intermediate
values in registers, in float32, and writes its output once. It never reads padding. `triton_operations.py` launches the
kernels.

A kernel is written in Triton's language. The launch runs it as a grid of programs. Each name is a number that all
threads of a program share, or a block of numbers that is spread over them. `do_not_specialize` names the arguments
whose values must not make Triton recompile the kernel. Offsets within a clip have 32 bits, which saves registers;
offsets of a clip in its batch, and offsets in the position scores, have 64.

This file loads Triton; it is imported when a model is loaded.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
"""exp(x) is computed as exp2(x * LOG2_E), because GPUs have an instruction for powers of 2 only."""
LOWEST = tl.constexpr(-1e30)
"""Lower than every score, but finite, as the difference of two infinities is NaN."""


@triton.jit(
    do_not_specialize=[
        "counts", "clip_stride", "frame_stride", "mel_stride", "mels", "new_frames", "new_bands"
    ]
)  # fmt: skip
def subsample_features(
    x, counts, first_weight, first_bias, weight, bias, out,
    clip_stride, frame_stride, mel_stride, mels, new_frames, new_bands,
    CHANNELS: tl.constexpr, BANDS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute `subsample` of the 3 x 3 convolution with stride 2 of features.

    The first convolution has 64 times as many numbers as the features, so it is not worth its way through memory: a
    program computes what it needs of it, twelve numbers for two of its outputs. All channels see the same features, so
    a thread reads each for all of its channels.

    x (clips, frames, mels) with the given strides; counts (clips,) int64, its real frames; first_weight and weight (9,
    CHANNELS), first_bias and bias (CHANNELS,); out (clips, new_frames, new_bands, CHANNELS), contiguous.
    """
    blocks: tl.constexpr = (CHANNELS + BLOCK - 1) // BLOCK
    frame, clip = tl.program_id(0), tl.program_id(2).to(tl.int64)
    first = tl.program_id(1) // blocks * BANDS
    channel = tl.program_id(1) % blocks * BLOCK + tl.arange(0, BLOCK)
    exists = channel < CHANNELS
    first_taps, taps = (), ()
    for tap in tl.static_range(9):
        at = tap * CHANNELS + channel
        first_taps = first_taps + (tl.load(first_weight + at, mask=exists, other=0.0).to(tl.float32),)
        taps = taps + (tl.load(weight + at, mask=exists, other=0.0).to(tl.float32),)
    first_taps = first_taps + (tl.load(first_bias + channel, mask=exists, other=0.0).to(tl.float32),)
    offset = tl.load(bias + channel, mask=exists, other=0.0).to(tl.float32)
    # Of the three frames of the first convolution that this output sees, and of the seven frames of features that those
    # see: which are real.
    middle, start = 2 * frame, 4 * frame - 3
    features = tl.load(counts + clip).to(tl.int32)
    count = (features + 1) // 2
    are_real = ((middle > 0) & (middle <= count), middle < count, middle + 1 < count)
    have_features = ()
    for i in tl.static_range(7):
        have_features = have_features + ((start + i >= 0) & (start + i < features),)
    x += clip * clip_stride + start * frame_stride
    out += ((clip * new_frames + frame) * new_bands + first) * CHANNELS + channel
    edge = _features(x, 4 * first - 3, frame_stride, mel_stride, mels, have_features)
    left, edge = _first_column(
        x, 2 * first - 1, edge, frame_stride, mel_stride, mels, have_features, are_real, first_taps
    )
    for i in tl.static_range(BANDS):
        band = 2 * (first + i)
        centre, edge = _first_column(x, band, edge, frame_stride, mel_stride, mels, have_features, are_real, first_taps)
        right, edge = _first_column(
            x, band + 1, edge, frame_stride, mel_stride, mels, have_features, are_real, first_taps
        )
        total = _convolved(taps, offset, left, centre, right, 0)
        tl.store(out + i * CHANNELS, total.to(out.dtype.element_ty), mask=exists & (first + i < new_bands))
        left = right


@triton.jit
def _convolved(taps, offset, left, centre, right, START: tl.constexpr):
    """Return offset plus the 3 x 3 convolution of three columns, of each the three numbers from `START` on."""
    total = offset
    for j in tl.static_range(3):
        total += taps[3 * j] * left[START + j]
        total += taps[3 * j + 1] * centre[START + j]
        total += taps[3 * j + 2] * right[START + j]
    return total


@triton.jit
def _first_column(x, band, left, frame_stride, mel_stride, mels, have_features, are_real, taps):
    """Return relu of one band of three frames of the first convolution, and the features of its last mel.

    `left` are those of its first mel; `taps` are the weights of the convolution and, as the last, its bias.
    """
    centre = _features(x, 2 * band, frame_stride, mel_stride, mels, have_features)
    right = _features(x, 2 * band + 1, frame_stride, mel_stride, mels, have_features)
    in_band = (band >= 0) & (2 * band < mels)
    column = ()
    for i in tl.static_range(3):
        total = _convolved(taps, taps[9], left, centre, right, 2 * i)
        column = column + (tl.where(are_real[i] & in_band, tl.maximum(total, 0.0), 0.0),)
    return column, right


@triton.jit
def _features(x, mel, frame_stride, mel_stride, mels, have_features):
    """Return one mel of the seven frames of features at `x`, 0 where there is no real one."""
    found = ()
    for i in tl.static_range(7):
        mask = have_features[i] & (mel >= 0) & (mel < mels)
        found = found + (tl.load(x + i * frame_stride + mel * mel_stride, mask=mask, other=0.0).to(tl.float32),)
    return found


@triton.jit(do_not_specialize=["counts", "frames", "bands", "new_frames", "new_bands"])
def subsample(
    x, counts, weight, bias, out, frames, bands, new_frames, new_bands,
    CHANNELS: tl.constexpr, BANDS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute the depthwise 3 x 3 convolution of relu(x) with stride 2.

    A program computes `BANDS` bands of one output frame for `BLOCK` channels. It goes from band to band and keeps the
    column of inputs that the next band needs too, so each output takes 6 reads instead of 9.

    x (clips, frames, bands, CHANNELS), counts (clips,) int64, weight (9, CHANNELS), bias (CHANNELS,), out (clips,
    new_frames, new_bands, CHANNELS), all contiguous.
    """
    blocks: tl.constexpr = (CHANNELS + BLOCK - 1) // BLOCK
    frame, clip = tl.program_id(0), tl.program_id(2).to(tl.int64)
    first = tl.program_id(1) // blocks * BANDS
    channel = tl.program_id(1) % blocks * BLOCK + tl.arange(0, BLOCK)
    exists = channel < CHANNELS
    count = tl.load(counts + clip).to(tl.int32)
    taps = ()
    for tap in tl.static_range(9):
        taps = taps + (tl.load(weight + tap * CHANNELS + channel, mask=exists, other=0.0).to(tl.float32),)
    offset = tl.load(bias + channel, mask=exists, other=0.0).to(tl.float32)
    # The channels to read in each of the three input frames: none in a frame before or after the clip.
    middle = 2 * frame
    row = bands.to(tl.int64) * CHANNELS
    x += (clip * frames + middle) * row + channel
    out += ((clip * new_frames + frame) * new_bands + first) * CHANNELS + channel
    masks = (exists & (middle > 0) & (middle <= count), exists & (middle < count), exists & (middle + 1 < count))
    left = _column(x, 2 * first - 1, bands, row, masks, CHANNELS)
    for i in tl.static_range(BANDS):
        band = 2 * (first + i)
        centre = _column(x, band, bands, row, masks, CHANNELS)
        right = _column(x, band + 1, bands, row, masks, CHANNELS)
        total = _convolved(taps, offset, left, centre, right, 0)
        tl.store(out + i * CHANNELS, total.to(out.dtype.element_ty), mask=exists & (first + i < new_bands))
        left = right


@triton.jit
def _column(x, band, bands, row, masks, CHANNELS: tl.constexpr):
    """Return relu of one band of three frames: the frame before the one at `x`, that frame, and the next."""
    in_band = (band >= 0) & (band < bands)
    at = x + band * CHANNELS
    before = tl.load(at - row, mask=masks[0] & in_band, other=0.0).to(tl.float32)
    here = tl.load(at, mask=masks[1] & in_band, other=0.0).to(tl.float32)
    after = tl.load(at + row, mask=masks[2] & in_band, other=0.0).to(tl.float32)
    return tl.maximum(before, 0.0), tl.maximum(here, 0.0), tl.maximum(after, 0.0)


@triton.jit(do_not_specialize=["counts", "frames"])
def convolve(
    x, counts, weight, bias, out, frames,
    WIDTH: tl.constexpr, TAPS: tl.constexpr, FRAMES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute silu of the depthwise convolution of glu(x) along the frames of each clip.

    A program computes `FRAMES` output frames for `BLOCK` channels. It goes from frame to frame with a window of the
    last `TAPS` inputs, so it reads each input and computes its gate once, instead of once for each tap.

    x (clips * frames, 2 * WIDTH), values before gates, counts (clips,) int64, weight (TAPS, WIDTH), bias (WIDTH,), out
    (clips * frames, WIDTH), all contiguous. TAPS is odd.
    """
    first, clip = tl.program_id(0) * FRAMES, tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    exists = channel < WIDTH
    count = tl.load(counts + clip).to(tl.int32)
    taps = ()
    for tap in tl.static_range(TAPS):
        taps = taps + (tl.load(weight + tap * WIDTH + channel, mask=exists, other=0.0).to(tl.float32),)
    offset = tl.load(bias + channel, mask=exists, other=0.0).to(tl.float32)
    x += clip * frames * (2 * WIDTH) + channel
    out += clip * frames * WIDTH + channel
    window = ()
    for i in tl.static_range(FRAMES + TAPS - 1):
        frame = first - TAPS // 2 + i
        mask = exists & (frame >= 0) & (frame < count)
        value = tl.load(x + frame * (2 * WIDTH), mask=mask, other=0.0).to(tl.float32)
        gate = tl.load(x + frame * (2 * WIDTH) + WIDTH, mask=mask, other=0.0).to(tl.float32)
        window = window + (value * _sigmoid(gate),)
        if i >= TAPS - 1:
            total = offset
            for tap in tl.static_range(TAPS):
                total += taps[tap] * window[tap]
            window = window[1:]
            middle = first + i - (TAPS - 1)
            result = total * _sigmoid(total)
            tl.store(out + middle * WIDTH, result.to(out.dtype.element_ty), mask=exists & (middle < frames))


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp2(x * -LOG2_E))


@triton.jit(do_not_specialize=["counts", "rows", "frames", "reach", "context"])
def attend(
    qkv, by_distance, shift, counts, out, rows, frames, reach, context, scale,
    HEADS: tl.constexpr, HEAD: tl.constexpr, DEPTH: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """Compute attention to the frames within `context`, with the softmax in one pass over the keys (flash attention).

    A program computes `QUERIES` queries of one head of one clip. It goes through the keys that any of them sees, `KEYS`
    at a time. For each query it keeps the highest score so far, the sum of exp(score - highest), and the sum of the
    values with these weights. When the highest score rises, it scales the earlier sums down.

    The shift of relative positions happens where a position score is read: query q and key k meet in column
    reach - 1 - q + k, so the next query's scores begin one column earlier. A padded query sees no key; its output is 0.

    qkv (rows, 3 * HEADS * HEAD), whose queries are those for positions; shift (HEADS * HEAD,), which added to them
    gives the queries for contents; by_distance (HEADS, rows, 2 * reach), the position scores, already scaled; counts
    (clips,) int64; out (rows, HEADS * HEAD). All are contiguous; rows are clips * frames. DEPTH is HEAD rounded up to a
    power of two.
    """
    width: tl.constexpr = HEADS * HEAD
    first, head, clip = tl.program_id(0) * QUERIES, tl.program_id(1), tl.program_id(2).to(tl.int64)
    count = tl.load(counts + clip).to(tl.int32)
    query = first + tl.arange(0, QUERIES)
    part = tl.arange(0, DEPTH)
    exists = part < HEAD
    qkv += clip * frames * (3 * width) + head * HEAD
    by_distance += (head.to(tl.int64) * rows + clip * frames) * (2 * reach) + (reach - 1)
    out += clip * frames * width + head * HEAD
    to_contents = tl.load(shift + head * HEAD + part, mask=exists, other=0.0).to(tl.float32)
    is_real = (query < count)[:, None] & exists[None, :]
    q = tl.load(qkv + query[:, None] * (3 * width) + part[None, :], mask=is_real, other=0.0).to(tl.float32)
    q = (q + to_contents[None, :]).to(qkv.dtype.element_ty)
    near = by_distance + query.to(tl.int64) * (2 * reach - 1)  # add the key for its score
    # One range of keys for each query covers the context, padded keys and padded queries.
    sees_from = query - context
    sees_to = tl.where(query < count, tl.minimum(query + context, count - 1), -1)
    start = tl.maximum(first - context, 0)
    stop = tl.where(first < count, tl.minimum(first + QUERIES + context, count), 0)
    highest = tl.full((QUERIES,), LOWEST, tl.float32)
    norm = tl.zeros((QUERIES,), tl.float32)
    total = tl.zeros((QUERIES, DEPTH), tl.float32)
    for at in range(start, stop, KEYS):
        key = at + tl.arange(0, KEYS)
        is_key = (key < count)[:, None] & exists[None, :]
        keys = qkv + width + key[:, None] * (3 * width) + part[None, :]
        k = tl.load(keys, mask=is_key, other=0.0)
        sees = (key[None, :] >= sees_from[:, None]) & (key[None, :] <= sees_to[:, None])
        position = tl.load(near[:, None] + key[None, :], mask=sees, other=float("-inf")).to(tl.float32)
        content = tl.dot(q, tl.trans(k), input_precision="ieee")
        score = content * (scale * LOG2_E) + position * LOG2_E
        new_highest = tl.maximum(highest, tl.max(score, 1))
        weight = tl.exp2(score - new_highest[:, None])
        scale_down = tl.exp2(highest - new_highest)
        norm = norm * scale_down + tl.sum(weight, 1)
        v = tl.load(keys + width, mask=is_key, other=0.0)
        total = tl.dot(weight.to(v.dtype), v, total * scale_down[:, None], input_precision="ieee")
        highest = new_highest
    attended = total * (1.0 / tl.maximum(norm, -1.0 / LOWEST))[:, None]
    target = out + query[:, None] * width + part[None, :]
    tl.store(target, attended.to(out.dtype.element_ty), mask=(query < frames)[:, None] & exists[None, :])
