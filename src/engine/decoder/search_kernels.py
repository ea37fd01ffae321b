"""Triton kernels for greedy TDT search: one step of the search for all clips of a batch is four kernels.

A step looks at one frame of each clip, at the clip's own time. The joint network scores all tokens and durations there
(`score_tokens`). The best token wins; a blank only moves the clip's time on. For the other clips the prediction network
reads the token: two or more LSTM layers (`choose_token` with the first, `run_layer` for the others) and a projection
(`advance`), which also records the token and moves time on. A clip whose time is over stays as it is.

A program works on `ROWS` clips and some columns of a matrix. Programs of one kernel cannot wait for each other, so what
one program needs of another's result is left to the next kernel. For the same reason a layer's new state is written
beside the old one, which other programs still read, and takes its place in the next kernel.

Tokens that a clip has not chosen are -1. `embeddings` and LSTM weights have the four gates of a unit side by side, in
the order input, forget, cell, output. Products are summed in float32. `encoder/kernels.py` says what a kernel and a
program are.

This file loads Triton; it is imported when a model is loaded.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
"""exp(x) is computed as exp2(x * LOG2_E), because GPUs have an instruction for powers of 2 only."""
LOWEST = tl.constexpr(-1e30)
"""Lower than every score, but finite, as the difference of two infinities is NaN."""


@triton.jit
def score_tokens(
    frames, stride, times, lengths, predictions, weight, bias, tile_max, tile_argmax, tile_sum,
    WIDTH: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Compute the joint network's scores of each clip's current frame, reduced over tiles of `COLUMNS` columns.

    frames (clips * stride, WIDTH), the projected encoder output; stride (1,) int32, frames of a clip in `frames`; times
    and lengths (clips,) int32; predictions (clips, WIDTH), the projected prediction network's output; weight (tiles *
    COLUMNS, WIDTH) and bias (tiles * COLUMNS,) float32, `LOWEST` where there is no column; tile_max, tile_sum (clips,
    tiles) float32 and tile_argmax (clips, tiles) int32: the highest score, the sum of exp(score - highest), and the
    column of the highest.
    """
    tile, tiles = tl.program_id(0), tl.num_programs(0)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    time = tl.load(times + row)
    active = time < tl.load(lengths + row)
    if tl.max(active.to(tl.int32), 0) > 0:
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        frame = frames + (row.to(tl.int64) * tl.load(stride) + time) * WIDTH
        scores = tl.zeros((ROWS, COLUMNS), tl.float32)
        for start in range(0, WIDTH, DEPTH):
            part = start + tl.arange(0, DEPTH)
            exists = part < WIDTH
            mask = active[:, None] & exists[None, :]
            encoded = tl.load(frame[:, None] + part[None, :], mask=mask, other=0.0).to(tl.float32)
            predicted = tl.load(predictions + row[:, None] * WIDTH + part[None, :], mask=mask, other=0.0)
            joined = tl.maximum(encoded + predicted.to(tl.float32), 0.0).to(weight.dtype.element_ty)
            weights = tl.load(weight + column[:, None] * WIDTH + part[None, :], mask=exists[None, :], other=0.0)
            scores = tl.dot(joined, tl.trans(weights), scores, input_precision="ieee")
        scores += tl.load(bias + column)[None, :]
        highest = tl.max(scores, 1)
        at = row * tiles + tile
        tl.store(tile_max + at, highest, mask=active)
        tl.store(tile_argmax + at, tl.argmax(scores, 1).to(tl.int32) + tile * COLUMNS, mask=active)
        tl.store(tile_sum + at, tl.sum(tl.exp2((scores - highest[:, None]) * LOG2_E), 1), mask=active)


@triton.jit
def choose_token(
    times, lengths, tile_max, tile_argmax, tile_sum, durations, tokens, jumps, logprobs,
    embeddings, weight, hidden, cell, new_hidden,
    BLANK: tl.constexpr, TILES: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
    HIDDEN: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Choose each clip's token and duration, and run the first LSTM layer for the clips whose token is no blank.

    times, lengths, tile_max, tile_argmax, tile_sum: as in `score_tokens`, of `TILES` tiles of tokens and one more of
    durations; durations (number,) int32, in frames. Written: tokens (clips,) int32, -1 for a blank or no frame; jumps
    (clips,) int32, frames to move on; logprobs (clips,) float32. embeddings (tokens, 4 * HIDDEN) float32, the layer's
    gates for each token, with biases; weight (4 * HIDDEN, HIDDEN), that of the hidden state; hidden, cell, new_hidden
    (clips, HIDDEN). BLOCK is TILES rounded up to a power of two.
    """
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    active = tl.load(times + row) < tl.load(lengths + row)
    tile = tl.arange(0, BLOCK)
    first = row * (TILES + 1)
    mask = active[:, None] & (tile < TILES)[None, :]
    highest_of = tl.load(tile_max + first[:, None] + tile[None, :], mask=mask, other=LOWEST)
    sum_of = tl.load(tile_sum + first[:, None] + tile[None, :], mask=mask, other=0.0)
    highest = tl.max(highest_of, 1)
    winner = tl.argmax(highest_of, 1).to(tl.int32)
    token = tl.load(tile_argmax + first + winner, mask=active, other=BLANK)
    emits = active & (token != BLANK)
    if tl.program_id(0) == 0:
        norm = tl.sum(sum_of * tl.exp2((highest_of - highest[:, None]) * LOG2_E), 1)
        duration = tl.load(tile_argmax + first + TILES, mask=active, other=TILES * COLUMNS) - TILES * COLUMNS
        jump = tl.load(durations + duration)
        jump = tl.where(token == BLANK, tl.maximum(jump, 1), jump)  # as a blank must move on
        tl.store(tokens + row, tl.where(emits, token, -1))
        tl.store(jumps + row, tl.where(active, jump, 0))
        tl.store(logprobs + row, tl.where(emits, -tl.log(norm), 0.0))
    if tl.max(emits.to(tl.int32), 0) > 0:
        gate = tl.program_id(0) * 4 * UNITS + tl.arange(0, 4 * UNITS)
        at = embeddings + tl.where(emits, token, 0)[:, None] * (4 * HIDDEN) + gate[None, :]
        gates = tl.load(at, mask=emits[:, None] & (gate < 4 * HIDDEN)[None, :], other=0.0)
        gates = _add_product(gates, hidden, row, emits, weight, gate, 4 * HIDDEN, HIDDEN, DEPTH)
        _update_state(gates, row, emits, cell, new_hidden, HIDDEN, UNITS, ROWS)


@triton.jit
def run_layer(
    tokens, below, new_below, weight_below, bias, weight, hidden, cell, new_hidden,
    HIDDEN: tl.constexpr, UNITS: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Run an LSTM layer for the clips with a token, and put the layer below's new hidden state in its place.

    below, new_below, hidden, cell, new_hidden (clips, HIDDEN); weight_below, weight (4 * HIDDEN, HIDDEN); bias (4 *
    HIDDEN,) float32.
    """
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    emits = tl.load(tokens + row) >= 0
    if tl.max(emits.to(tl.int32), 0) > 0:
        gate = tl.program_id(0) * 4 * UNITS + tl.arange(0, 4 * UNITS)
        gates = tl.zeros((ROWS, 4 * UNITS), tl.float32)
        gates += tl.load(bias + gate, mask=gate < 4 * HIDDEN, other=0.0)[None, :]
        gates = _add_product(gates, new_below, row, emits, weight_below, gate, 4 * HIDDEN, HIDDEN, DEPTH)
        gates = _add_product(gates, hidden, row, emits, weight, gate, 4 * HIDDEN, HIDDEN, DEPTH)
        _update_state(gates, row, emits, cell, new_hidden, HIDDEN, UNITS, ROWS)
        _copy(new_below, below, row, emits, tl.program_id(0) * UNITS + tl.arange(0, UNITS), HIDDEN)


@triton.jit(do_not_specialize=["capacity"])
def advance(
    tokens, jumps, logprobs, times, repeats, counts, results, capacity, weight, bias, hidden, new_hidden, predictions,
    MAX_REPEATS: tl.constexpr, WIDTH: tl.constexpr, HIDDEN: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """Project the last layer's output for the clips with a token, record the token, and move all clips on.

    times (clips,) int32; repeats (clips,) int32, tokens found at the current frame: after `MAX_REPEATS` the clip moves
    on, so that no frame is searched forever; counts (clips,) int32, tokens found; results (clips, 4, capacity) int32:
    tokens, their first frames, the frames after their ends, and the bits of their log-probabilities in float32. weight
    (WIDTH, HIDDEN), bias (WIDTH,) float32, hidden and new_hidden (clips, HIDDEN), of the last layer, predictions
    (clips, WIDTH).
    """
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    token = tl.load(tokens + row)
    emits = token >= 0
    if tl.max(emits.to(tl.int32), 0) > 0:
        column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
        exists = column < WIDTH
        output = tl.zeros((ROWS, COLUMNS), tl.float32)
        output += tl.load(bias + column, mask=exists, other=0.0)[None, :]
        output = _add_product(output, new_hidden, row, emits, weight, column, WIDTH, HIDDEN, DEPTH)
        target = predictions + row[:, None] * WIDTH + column[None, :]
        tl.store(target, output.to(predictions.dtype.element_ty), mask=emits[:, None] & exists[None, :])
        _copy(new_hidden, hidden, row, emits, column, HIDDEN)
    if tl.program_id(0) == 0:
        time, jump = tl.load(times + row), tl.load(jumps + row)
        count, repeat = tl.load(counts + row), tl.load(repeats + row)
        fits = emits & (count < capacity)
        at = results + row.to(tl.int64) * (4 * capacity) + count
        tl.store(at, token, mask=fits)
        tl.store(at + capacity, time, mask=fits)
        tl.store(at + 2 * capacity, time + jump, mask=fits)
        tl.store(at + 3 * capacity, tl.load(logprobs + row).to(tl.int32, bitcast=True), mask=fits)
        tl.store(counts + row, count + emits.to(tl.int32))
        repeat = tl.where(jump > 0, 0, repeat + emits.to(tl.int32))
        is_stuck = repeat >= MAX_REPEATS
        tl.store(times + row, time + jump + is_stuck.to(tl.int32))
        tl.store(repeats + row, tl.where(is_stuck, 0, repeat))


@triton.jit
def find_active(times, lengths, is_any_active, CLIPS: tl.constexpr, BLOCK: tl.constexpr):
    """Write whether any clip has frames left: times and lengths (CLIPS,) int32, is_any_active (1,) bool.

    There is one program. BLOCK is CLIPS rounded up to a power of two.
    """
    row = tl.arange(0, BLOCK)
    exists = row < CLIPS
    active = tl.load(times + row, mask=exists, other=0) < tl.load(lengths + row, mask=exists, other=0)
    tl.store(is_any_active, tl.max(active.to(tl.int32), 0) > 0)


@triton.jit
def _add_product(
    total, x, row, mask, weight, column, SIZE: tl.constexpr, HIDDEN: tl.constexpr, DEPTH: tl.constexpr
):  # fmt: skip
    """Return total (rows, columns) plus the product of x (clips, HIDDEN) and rows `column` of weight (SIZE, HIDDEN).

    Only the rows in `mask` are read.
    """
    is_column = column < SIZE
    for start in range(0, HIDDEN, DEPTH):
        part = start + tl.arange(0, DEPTH)
        exists = part < HIDDEN
        state = tl.load(x + row[:, None] * HIDDEN + part[None, :], mask=mask[:, None] & exists[None, :], other=0.0)
        at = weight + column[:, None] * HIDDEN + part[None, :]
        weights = tl.load(at, mask=is_column[:, None] & exists[None, :], other=0.0)
        total = tl.dot(state, tl.trans(weights), total, input_precision="ieee")
    return total


@triton.jit
def _update_state(gates, row, mask, cell, new_hidden, HIDDEN: tl.constexpr, UNITS: tl.constexpr, ROWS: tl.constexpr):
    """Write the state of an LSTM layer's units after its gates, (ROWS, 4 * UNITS), for the rows in `mask`."""
    even, odd = tl.split(tl.reshape(gates, (ROWS, UNITS, 2, 2)))
    gate_input, gate_cell = tl.split(even)
    gate_forget, gate_output = tl.split(odd)
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    mask = mask[:, None] & (unit < HIDDEN)[None, :]
    at = row[:, None] * HIDDEN + unit[None, :]
    before = tl.load(cell + at, mask=mask, other=0.0).to(tl.float32)
    after = _sigmoid(gate_forget) * before + _sigmoid(gate_input) * _tanh(gate_cell)
    tl.store(cell + at, after.to(cell.dtype.element_ty), mask=mask)
    output = _sigmoid(gate_output) * _tanh(after)
    tl.store(new_hidden + at, output.to(new_hidden.dtype.element_ty), mask=mask)


@triton.jit
def _copy(source, target, row, mask, column, WIDTH: tl.constexpr):
    """Copy columns of rows, (clips, WIDTH), for the rows in `mask`."""
    at = row[:, None] * WIDTH + column[None, :]
    mask = mask[:, None] & (column < WIDTH)[None, :]
    tl.store(target + at, tl.load(source + at, mask=mask), mask=mask)


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp2(x * -LOG2_E))


@triton.jit
def _tanh(x):
    return 2.0 * _sigmoid(2.0 * x) - 1.0
