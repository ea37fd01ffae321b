"""Silero's voice activity network (silero-vad 6.2.3), fast for hours of audio and for a tenth of a second.

The network looks at frames of 32 ms and remembers what came before in the state of an LSTM. Its own code runs frame by
frame; here the layers below the LSTM see all frames of a block at once, with the same weights. That is 15 times as fast
(0.7 ms for a second of audio on one core), needs no lock, as weights are shared and states are not, and spares the
process the import of `silero_vad`, which sets torch to one thread.

A live stream brings a few frames at a time, and then torch's calls cost more than the sums: 660 us for three frames,
where numpy takes 166. The two differ by about 1e-5.

The streams of many go through one call, as a block each: the layers below the LSTM see all blocks as one, and the LSTM
takes a step of all streams at a time. For blocks of 32 frames that halves the time from 8 streams on.
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
"""What the network looks at in one step, 32 ms."""
CONTEXT_SAMPLES = 64
"""Samples before a frame that the network sees with it, and the reflected ones that it sees after it."""
FEW_FRAMES = 7
"""Up to so many frames, of all streams, numpy is the faster; its matrix products are too small then for threads of
their own."""
WINDOW, HOP = 256, 128
"""The short-time Fourier transform at its bottom, in samples."""


class State(NamedTuple):
    """What the LSTM remembers: (128,) each."""

    hidden: Floats
    cell: Floats


def _fresh() -> State:
    return State(np.zeros(128, np.float32), np.zeros(128, np.float32))


class Silero:
    """The network, read from the wheel of `silero-vad`; any number of threads may use it."""

    def __init__(self) -> None:
        import torch

        path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
        load: Callable[..., Any] = torch.jit.load
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch has newer formats than the wheel
            weights = load(str(path), map_location="cpu")._model.state_dict()
        self._spectrum = weights["stft.forward_basis_buffer"]
        self._layers = [
            (weights[f"encoder.{layer}.reparam_conv.weight"], weights[f"encoder.{layer}.reparam_conv.bias"], stride)
            for layer, stride in enumerate((1, 2, 2, 1))
        ]
        self._memory = torch.nn.LSTM(128, 128).requires_grad_(False)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(self._memory, f"{name}_l0").copy_(weights[f"decoder.rnn.{name}"])
        self._last = (weights["decoder.decoder.2.weight"].view(-1), weights["decoder.decoder.2.bias"])
        self._few = _FewFrames(self)

    def run(self, blocks: Sequence[Floats], states: Sequence[State | None]) -> list[tuple[Floats, State]]:
        """Return for each stream how likely each frame of its block is speech, (frames,), and its state after the last.

        A block is (frames, 576), at least one frame: 64 samples of context, then the frame's own. The state is that
        after the stream's frame before, None at its beginning.
        """
        before = [state or _fresh() for state in states]
        if sum(map(len, blocks)) <= FEW_FRAMES:
            return [self._few.run(block, state) for block, state in zip(blocks, before, strict=True)]
        return self._run_blocks(blocks, before)

    def _run_blocks(self, blocks: Sequence[Floats], states: Sequence[State]) -> list[tuple[Floats, State]]:
        import torch

        lengths = [len(block) for block in blocks]
        with _one_thread(), torch.inference_mode():
            features = self._features(torch.from_numpy(np.concatenate(blocks))).split(lengths)
            before = tuple(torch.from_numpy(np.stack(part))[None] for part in zip(*states, strict=True))
            remembered, after = self._remembered(list(features), before)
            weight, bias = self._last
            found = np.split((remembered.relu() @ weight + bias).sigmoid().numpy(), np.cumsum(lengths)[:-1])
            after_each = map(State, *(part[0].numpy() for part in after))
            return list(zip(found, after_each, strict=True))

    def _features(self, frames: Any) -> Any:
        """Return what the LSTM gets of each frame, (frames, 128), given the frames (frames, 576); both are tensors."""
        import torch
        from torch.nn.functional import conv1d, pad

        reflected = pad(frames[:, None], (0, CONTEXT_SAMPLES), "reflect")
        spectra = conv1d(reflected, self._spectrum, stride=HOP)
        features = torch.hypot(*spectra.chunk(2, dim=1))
        for weight, bias, stride in self._layers:
            features = conv1d(features, weight, bias, stride, padding=1).relu()
        return features.squeeze(2)

    def _remembered(self, features: list[Any], states: Any) -> tuple[Any, Any]:
        """Return what the LSTM makes of all frames, block by block, (frames, 128), and its states after each block."""
        import torch
        from torch.nn.utils.rnn import pack_sequence, unpack_sequence

        if len(features) == 1:  # packing would cost more than it spares
            remembered, after = self._memory(features[0][:, None], states)
            return remembered[:, 0], after
        packed, after = self._memory(pack_sequence(features, enforce_sorted=False), states)
        return torch.cat(unpack_sequence(packed)), after


class _FewFrames:
    """The same in numpy: convolutions as matrix products over (frames, positions, channels)."""

    def __init__(self, network: Silero) -> None:
        memory: Any = network._memory
        self._spectrum = _as_matrix(network._spectrum)
        self._layers = [(_as_matrix(weight), bias.numpy(), stride) for weight, bias, stride in network._layers]
        self._given = memory.weight_ih_l0.numpy().T.copy()
        self._remembered = memory.weight_hh_l0.numpy().T.copy()
        self._bias = (memory.bias_ih_l0 + memory.bias_hh_l0).numpy()
        self._last = tuple(part.numpy() for part in network._last)

    def run(self, frames: Floats, state: State) -> tuple[Floats, State]:
        """Return the probabilities of frames, and the state after the last one."""
        gates = self._features(frames) @ self._given + self._bias
        hidden = np.empty((len(frames), 128), np.float32)
        for number, gate in enumerate(gates):
            state = self._remember(gate, state)
            hidden[number] = state.hidden
        weight, bias = self._last
        return _sigmoid(np.maximum(hidden, 0) @ weight + bias), state

    def _features(self, frames: Floats) -> Floats:
        """Return what the LSTM gets of each frame, (frames, 128)."""
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

    def _remember(self, gate: Floats, state: State) -> State:
        given, kept, new, shown = np.split(gate + state.hidden @ self._remembered, 4)
        cell = _sigmoid(kept) * state.cell + _sigmoid(given) * np.tanh(new)
        return State(_sigmoid(shown) * np.tanh(cell), cell)


def _as_matrix(weight: Any) -> Floats:
    """Return the weights of a convolution, (out, in, width), as (width * in, out)."""
    matrix: Floats = weight.numpy().transpose(2, 1, 0).reshape(-1, weight.shape[0]).copy()
    return matrix


def _sigmoid(values: Floats) -> Floats:
    # Beyond 80 nothing changes but that the exponential overflows.
    return np.float32(1) / (np.float32(1) + np.exp(-np.clip(values, -80, 80)))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch from spreading the calling thread's work over the cores.

    The network's steps are so small that threads would spend their time waiting for each other: on busy cores a step
    took a hundred times as long. The setting is the calling thread's own; others, the model's too, keep theirs.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
