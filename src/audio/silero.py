"""Silero's voice activity network (silero-vad 6.2.3), fast for hours of audio and for a tenth of a second.

The network takes frames of 32 ms and keeps its context in the state of an LSTM. Its own code runs frame by frame; here
the layers below the LSTM process all frames of a block at once, with the same weights. That needs no lock, because
weights are shared and states are not. It also avoids importing `silero_vad`, which sets torch to one thread for the
whole process.

A frame is so short that its spectrum has four positions. A convolution over four positions is one matrix, and so
cheaper than as a convolution; the spectrum is a Fourier transform, which the network's own code has as a convolution.

Many streams can go through one call, one block each: the layers below the LSTM process all blocks as one, and the LSTM
steps all streams together. Three frames of each of 200 streams take a tenth of the time of 200 calls.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import distribution
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FRAME_SAMPLES = 512
"""The network's input in one step, 32 ms."""
CONTEXT_SAMPLES = 64
"""Samples before a frame that the network also sees; as many are reflected after the frame."""
WINDOW, HOP = 256, 128
"""The window and hop of its short-time Fourier transform, in samples."""
POSITIONS = 4
"""The positions of the window in a frame."""
STRIDES = (1, 2, 2, 1)
"""The strides of its convolutions. Each is three positions wide and padded by one position of zeros."""


class State(NamedTuple):
    """The state of the LSTM: (128,) each."""

    hidden: Floats
    cell: Floats


INITIAL_STATE = State(np.zeros(128, np.float32), np.zeros(128, np.float32))
"""The state of a stream at its start."""


class Silero:
    """The network, with the weights in the wheel of `silero-vad`. Any number of threads may use it."""

    def __init__(self) -> None:
        import torch

        path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
        load: Callable[..., Any] = torch.jit.load
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the wheel's format is an old one of torch
            weights = load(str(path), map_location="cpu")._model.state_dict()
        self._window = weights["stft.forward_basis_buffer"][0, 0]  # times the cosine of frequency 0, which is 1
        self._layers = []
        positions = POSITIONS
        for layer, stride in enumerate(STRIDES):
            name = f"encoder.{layer}.reparam_conv"
            matrix = _as_matrix(weights[f"{name}.weight"], stride, positions)
            positions = -(-positions // stride)
            self._layers.append((matrix, weights[f"{name}.bias"].repeat(positions)))
        self._lstm = torch.nn.LSTM(128, 128).requires_grad_(False)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(self._lstm, f"{name}_l0").copy_(weights[f"decoder.rnn.{name}"])
        self._output = (weights["decoder.decoder.2.weight"].view(-1), weights["decoder.decoder.2.bias"])

    def run(self, blocks: Sequence[Floats], states: Sequence[State | None]) -> list[tuple[Floats, State]]:
        """Return for each stream the probability of speech of each frame in its block (frames,), and its new state.

        Args:
            blocks: for each stream, its next frames (frames, 576), at least one: 64 samples of context, then the frame.
            states: for each stream, its state after its last frame; None at its start.
        """
        import torch

        lengths = np.array([len(block) for block in blocks])
        streams, frames, running = _steps(lengths)
        before = [states[stream] or INITIAL_STATE for stream in streams.tolist()]
        with one_thread(), torch.inference_mode():
            features = self._features(torch.from_numpy(np.concatenate(blocks)))[torch.from_numpy(frames)]
            hidden, after = self._run_lstm(features, running, before)
            weight, bias = self._output
            in_steps = (hidden.relu() @ weight + bias).sigmoid().numpy()
        probabilities, after_each = np.empty_like(in_steps), [INITIAL_STATE] * len(blocks)
        probabilities[frames] = in_steps
        for stream, state in zip(streams.tolist(), after, strict=True):
            after_each[stream] = state
        ends = lengths.cumsum().tolist()
        parts = [probabilities[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        return list(zip(parts, after_each, strict=True))

    def _features(self, frames: Any) -> Any:
        """Return the LSTM's input (frames, 128) for frames (frames, 576). Both are tensors."""
        import torch
        from torch.nn.functional import pad

        windows = pad(frames[:, None], (0, CONTEXT_SAMPLES), "reflect")[:, 0].unfold(1, WINDOW, HOP)
        features = torch.fft.rfft(windows * self._window).abs().flatten(1)
        for matrix, bias in self._layers:
            features = torch.addmm(bias, features, matrix).relu_()
        return features

    def _run_lstm(self, features: Any, running: NDArray[np.int64], states: list[State]) -> tuple[Any, Iterator[State]]:
        """Return the LSTM's output for each frame (frames, 128), and the state of each stream after its last frame.

        Args:
            features: the tensor of the frames, in the order of the steps (frames, 128).
            running: the number of streams in each step (steps,). They are the first ones.
            states: the state of each stream, those with more frames first.
        """
        import torch
        from torch.nn.utils.rnn import PackedSequence

        before = tuple(torch.from_numpy(np.stack(part))[None] for part in zip(*states, strict=True))
        if running[-1] == len(states):  # all streams have as many frames; packing would cost more than it saves
            hidden, after = self._lstm(features.view(len(running), len(states), -1), before)
            hidden = hidden.flatten(0, 1)
        else:
            packed, after = self._lstm(PackedSequence(features, torch.from_numpy(running)), before)
            hidden = packed.data
        return hidden, map(State, *(part[0].numpy() for part in after))


def _as_matrix(weight: Any, stride: int, positions: int) -> Any:
    """Return the weights (out, in, 3) of a convolution as a matrix (positions * in, positions after it * out)."""
    import torch

    channels_out, channels_in, width = weight.shape
    matrix = torch.zeros(positions, channels_in, -(-positions // stride), channels_out)
    for after in range(matrix.shape[2]):
        for at in range(width):
            before = after * stride + at - 1
            if 0 <= before < positions:
                matrix[before, :, after] = weight[:, :, at].T
    return matrix.flatten(2).flatten(0, 1)


def _steps(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return how the LSTM steps through streams with these numbers of frames, all streams together.

    Returns:
        The streams, those with more frames first (streams,); the frames of all streams in the order of the steps
        (frames,); and the number of streams that have a frame in each step (steps,).
    """
    if len(lengths) == 1:
        return np.zeros(1, np.int64), np.arange(lengths[0]), np.ones(lengths[0], np.int64)
    streams = np.argsort(-lengths, kind="stable")
    steps = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    places = np.repeat(np.argsort(streams), lengths)
    return streams, np.lexsort((places, steps)), np.bincount(steps)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch from spreading the calling thread's work over the cores.

    The network's steps are so small that threads would mostly wait for each other: on busy cores a step took a hundred
    times as long. The setting applies to the calling thread only; other threads, such as the model's, keep theirs.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
