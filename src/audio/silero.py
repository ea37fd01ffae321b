"""Silero's voice activity network (silero-vad 6.2.3), fast for hours of audio and for a tenth of a second.

The network takes frames of 32 ms and keeps its context in the state of an LSTM. Its own code runs frame by frame; here
the layers below the LSTM process all frames of a block at once, with the same weights. That is 15 times as fast (0.7 ms
for a second of audio on one core) and needs no lock, because weights are shared and states are not. It also avoids
importing `silero_vad`, which sets torch to one thread for the whole process.

A live stream brings a few frames at a time. There, the overhead of torch's calls dominates: 660 us for three frames,
while numpy takes 166. The two differ by about 1e-5.

Many streams can go through one call, one block each: the layers below the LSTM process all blocks as one, and the LSTM
steps all streams together. For blocks of 32 frames this halves the time from 8 streams on.
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
MAX_NUMPY_FRAMES = 7
"""Up to this many frames, of all streams together, numpy is faster than torch. Its matrix products are then too small
to start threads."""
WINDOW, HOP = 256, 128
"""The window and hop of its short-time Fourier transform, in samples."""


class State(NamedTuple):
    """The state of the LSTM: (128,) each."""

    hidden: Floats
    cell: Floats


def _initial_state() -> State:
    return State(np.zeros(128, np.float32), np.zeros(128, np.float32))


class Silero:
    """The network, with the weights in the wheel of `silero-vad`. Any number of threads may use it."""

    def __init__(self) -> None:
        import torch

        path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
        load: Callable[..., Any] = torch.jit.load
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the wheel's format is an old one of torch
            weights = load(str(path), map_location="cpu")._model.state_dict()
        self._spectrum = weights["stft.forward_basis_buffer"]
        self._layers = [
            (weights[f"encoder.{layer}.reparam_conv.weight"], weights[f"encoder.{layer}.reparam_conv.bias"], stride)
            for layer, stride in enumerate((1, 2, 2, 1))
        ]
        self._lstm = torch.nn.LSTM(128, 128).requires_grad_(False)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(self._lstm, f"{name}_l0").copy_(weights[f"decoder.rnn.{name}"])
        self._output = (weights["decoder.decoder.2.weight"].view(-1), weights["decoder.decoder.2.bias"])
        self._numpy_network = _NumpyNetwork(self)

    def run(self, blocks: Sequence[Floats], states: Sequence[State | None]) -> list[tuple[Floats, State]]:
        """Return for each stream the probability of speech of each frame in its block (frames,), and its new state.

        Args:
            blocks: for each stream, its next frames (frames, 576), at least one: 64 samples of context, then the frame.
            states: for each stream, its state after its last frame; None at its start.
        """
        before = [state or _initial_state() for state in states]
        if sum(map(len, blocks)) <= MAX_NUMPY_FRAMES:
            return [self._numpy_network.run(block, state) for block, state in zip(blocks, before, strict=True)]
        return self._run_blocks(blocks, before)

    def _run_blocks(self, blocks: Sequence[Floats], states: Sequence[State]) -> list[tuple[Floats, State]]:
        import torch

        lengths = [len(block) for block in blocks]
        with _one_thread(), torch.inference_mode():
            features = self._features(torch.from_numpy(np.concatenate(blocks))).split(lengths)
            before = tuple(torch.from_numpy(np.stack(part))[None] for part in zip(*states, strict=True))
            hidden, after = self._run_lstm(list(features), before)
            weight, bias = self._output
            probabilities = np.split((hidden.relu() @ weight + bias).sigmoid().numpy(), np.cumsum(lengths)[:-1])
            after_each = map(State, *(part[0].numpy() for part in after))
            return list(zip(probabilities, after_each, strict=True))

    def _features(self, frames: Any) -> Any:
        """Return the LSTM's input (frames, 128) for frames (frames, 576). Both are tensors."""
        import torch
        from torch.nn.functional import conv1d, pad

        reflected = pad(frames[:, None], (0, CONTEXT_SAMPLES), "reflect")
        spectra = conv1d(reflected, self._spectrum, stride=HOP)
        features = torch.hypot(*spectra.chunk(2, dim=1))
        for weight, bias, stride in self._layers:
            features = conv1d(features, weight, bias, stride, padding=1).relu()
        return features.squeeze(2)

    def _run_lstm(self, features: list[Any], states: Any) -> tuple[Any, Any]:
        """Return the LSTM's output for the frames of all blocks, in order (frames, 128), and its state after each."""
        import torch
        from torch.nn.utils.rnn import pack_sequence, unpack_sequence

        if len(features) == 1:  # packing would cost more than it saves
            hidden, after = self._lstm(features[0][:, None], states)
            return hidden[:, 0], after
        packed, after = self._lstm(pack_sequence(features, enforce_sorted=False), states)
        return torch.cat(unpack_sequence(packed)), after


class _NumpyNetwork:
    """The same network in numpy, with convolutions as matrix products over (frames, positions, channels)."""

    def __init__(self, network: Silero) -> None:
        lstm: Any = network._lstm
        self._spectrum = _as_matrix(network._spectrum)
        self._layers = [(_as_matrix(weight), bias.numpy(), stride) for weight, bias, stride in network._layers]
        self._input_weight = lstm.weight_ih_l0.numpy().T.copy()
        self._hidden_weight = lstm.weight_hh_l0.numpy().T.copy()
        self._bias = (lstm.bias_ih_l0 + lstm.bias_hh_l0).numpy()
        self._output = tuple(part.numpy() for part in network._output)

    def run(self, frames: Floats, state: State) -> tuple[Floats, State]:
        """Return the probabilities of frames (frames, 576), and the state after the last one."""
        gates = self._features(frames) @ self._input_weight + self._bias
        hidden = np.empty((len(frames), 128), np.float32)
        for number, gate in enumerate(gates):
            state = self._lstm_step(gate, state)
            hidden[number] = state.hidden
        weight, bias = self._output
        return _sigmoid(np.maximum(hidden, 0) @ weight + bias), state

    def _features(self, frames: Floats) -> Floats:
        """Return the LSTM's input (frames, 128) for frames (frames, 576)."""
        reflected = np.concatenate([frames, frames[:, -2 : -2 - CONTEXT_SAMPLES : -1]], axis=1)
        spectra = np.lib.stride_tricks.sliding_window_view(reflected, WINDOW, axis=1)[:, ::HOP] @ self._spectrum
        real, imaginary = np.split(spectra, 2, axis=2)
        features: Floats = np.hypot(real, imaginary)
        for weight, bias, stride in self._layers:
            padded = np.pad(features, ((0, 0), (1, 1), (0, 0)))
            views = [padded[:, at : at + 3].reshape(len(frames), -1) for at in range(0, features.shape[1], stride)]
            features = np.stack(views, axis=1) @ weight + bias
            np.maximum(features, 0, out=features)
        return features[:, 0]

    def _lstm_step(self, gate: Floats, state: State) -> State:
        input_gate, forget_gate, candidate, output_gate = np.split(gate + state.hidden @ self._hidden_weight, 4)
        cell = _sigmoid(forget_gate) * state.cell + _sigmoid(input_gate) * np.tanh(candidate)
        return State(_sigmoid(output_gate) * np.tanh(cell), cell)


def _as_matrix(weight: Any) -> Floats:
    """Return the weights (out, in, width) of a convolution as a matrix (width * in, out)."""
    matrix: Floats = weight.numpy().transpose(2, 1, 0).reshape(-1, weight.shape[0]).copy()
    return matrix


def _sigmoid(values: Floats) -> Floats:
    # Beyond 80 the result no longer changes, and the exponential would overflow.
    return np.float32(1) / (np.float32(1) + np.exp(-np.clip(values, -80, 80)))


@contextmanager
def _one_thread() -> Iterator[None]:
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
