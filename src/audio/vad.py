"""Where somebody speaks: Silero's voice activity detector (silero-vad 6.2.3), and its probabilities as spans of speech.

The network looks at frames of 32 ms and remembers what came before in the state of an LSTM. Its own code runs frame by
frame; here the layers below the LSTM see all frames of a block at once, with the same weights. That is 15 times as fast
(0.7 ms for a second of audio on one core), needs no lock, as weights are shared and states are not, and spares the
process the import of `silero_vad`, which sets torch to one thread.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.audio.decode import SAMPLE_RATE

if TYPE_CHECKING:
    import torch

    _State = tuple[torch.Tensor, torch.Tensor]

Samples = NDArray[np.float32]

FRAME_SAMPLES = 512
"""What the detector looks at in one step, 32 ms."""
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE
CONTEXT_SAMPLES = 64
"""Samples before a frame that the detector sees with it, and the reflected ones that it sees after it."""
BLOCK_FRAMES = 1024
"""Frames done in one pass: 33 s, with 10 MB of intermediate values."""

SPEECH = 0.5
"""Speech begins with a frame of at least this probability (`threshold` of Silero's `get_speech_timestamps`)."""
PAUSE = 0.35
"""Speech ends with a frame below this one (`neg_threshold`)."""
MIN_PAUSE_S = 0.1
"""Shorter pauses belong to the speech around them (`min_silence_duration_ms`)."""

LEVEL = 0.5
"""The loudest sample is brought to this: the detector misses speech whose peaks are below 0.003, and no noise that was
tried (white, pink, brown, hum, clicks, tones) passes for speech for being loud."""
FAINTEST = 1e-3
"""Audio whose loudest sample is fainter is not raised as far: 16-bit audio has 5 bits left there."""


class Span(NamedTuple):
    """A stretch of audio, in seconds from its start."""

    start_s: float
    end_s: float


class SpeechDetector:
    """Silero's network, read once from the wheel of `silero-vad`; any number of threads may use it."""

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

    def probabilities(self, samples: Samples) -> NDArray[np.float32]:
        """Return how likely each 32 ms of 16 kHz samples (samples,) is speech: (frames,), 0 to 1.

        The last frame is filled up with zeros.
        """
        stream = self.stream()
        return np.concatenate([stream.feed(samples), stream.finish()])

    def spans(self, samples: Samples) -> tuple[Span, ...]:
        """Return where somebody speaks in 16 kHz samples (samples,), however quietly, in order."""
        return speech_spans(self.probabilities(samples * gain(peak(samples))))

    def stream(self) -> "SpeechStream":
        """Return what gives the probabilities of audio that comes in pieces."""
        return SpeechStream(self)

    def _run(self, frames: "torch.Tensor", state: "_State | None") -> "tuple[torch.Tensor, _State]":
        """Return the probabilities of frames with their context, (frames, 576), and the state after the last one."""
        import torch
        from torch.nn.functional import conv1d, pad

        with _one_thread(), torch.inference_mode():
            spectra = conv1d(pad(frames[:, None], (0, CONTEXT_SAMPLES), "reflect"), self._spectrum, stride=128)
            features = torch.hypot(*spectra.chunk(2, dim=1))
            for weight, bias, stride in self._layers:
                features = conv1d(features, weight, bias, stride, padding=1).relu()
            remembered, state = self._memory(features.squeeze(2), state)
            weight, bias = self._last
            return (remembered.relu() @ weight + bias).sigmoid(), state


class SpeechStream:
    """The detector's memory of one stream of audio. One thread at a time may use it."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._detector = detector
        self._state: _State | None = None
        self._held = np.zeros(CONTEXT_SAMPLES, np.float32)

    def feed(self, samples: Samples) -> NDArray[np.float32]:
        """Return the probabilities of the frames that `samples`, 16 kHz of any number, complete: (frames,)."""
        import torch

        held = np.concatenate([self._held, samples])
        frames = (len(held) - CONTEXT_SAMPLES) // FRAME_SAMPLES
        self._held = held[frames * FRAME_SAMPLES :].copy()
        probabilities = np.empty(frames, np.float32)
        for start in range(0, frames, BLOCK_FRAMES):
            end = min(start + BLOCK_FRAMES, frames)
            block = torch.from_numpy(held[start * FRAME_SAMPLES : end * FRAME_SAMPLES + CONTEXT_SAMPLES])
            windows = block.unfold(0, CONTEXT_SAMPLES + FRAME_SAMPLES, FRAME_SAMPLES)
            given, self._state = self._detector._run(windows, self._state)
            probabilities[start:end] = given.numpy()
        return probabilities

    def finish(self) -> NDArray[np.float32]:
        """Return the probability of the incomplete frame at the end, if there is one: (0,) or (1,)."""
        missing = -(len(self._held) - CONTEXT_SAMPLES) % FRAME_SAMPLES
        return self.feed(np.zeros(missing, np.float32))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch from spreading the calling thread's work over the cores.

    The detector's steps are so small that threads would spend their time waiting for each other: on busy cores a step
    took a hundred times as long. The setting is the calling thread's own; others, the model's too, keep theirs.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def peak(samples: Samples) -> float:
    """Return the largest magnitude among samples, 0 if there are none."""
    return float(np.abs(samples).max(initial=0))


def gain(loudest: float) -> np.float32:
    """Return what to multiply samples with for the detector, given the largest magnitude among them."""
    return np.float32(LEVEL / max(loudest, FAINTEST))


def speech_spans(probabilities: NDArray[np.float32], *, min_speech_s: float = 0.0) -> tuple[Span, ...]:
    """Return where speech begins and ends, in order, given the probability of each frame (frames,).

    Speech begins where a probability reaches `SPEECH` and lasts until one falls below `PAUSE` for `MIN_PAUSE_S`.
    Stretches shorter than `min_speech_s` are left out.
    """
    spans: list[Span] = []
    for start, end in _runs(_speaking(probabilities)):
        if spans and (start * FRAME_S - spans[-1].end_s) < MIN_PAUSE_S:
            spans[-1] = Span(spans[-1].start_s, end * FRAME_S)
        else:
            spans.append(Span(start * FRAME_S, end * FRAME_S))
    return tuple(span for span in spans if span.end_s - span.start_s >= min_speech_s)


def _speaking(probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return for each frame whether it is speech; one between the thresholds is what the frame before it is."""
    clear = (probabilities >= SPEECH) | (probabilities < PAUSE)
    latest = np.maximum.accumulate(np.where(clear, np.arange(len(probabilities)), 0))
    speaking: NDArray[np.bool_] = probabilities[latest] >= SPEECH
    return speaking


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and the one-past-last index of each run of true flags."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
