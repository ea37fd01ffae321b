"""Mix channels down to mono, also channels that cancel each other.

The mono mix is normally the mean of the channels. If one channel is the opposite of another (a balanced cable, a
dictation device with crossed wires), the mean is silence, and the louder channel is used instead. Cancellation is
measured over one second, so that music that is out of phase for a moment is left alone; its start and end are found to
within 64 ms.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MAX_SAMPLE = 2.0**31
"""The largest sample in the output. Decoders overshoot 1, and float files may hold another format's unscaled integers;
loud samples do not hurt the model, clipping would. Larger values than any integer sample are damage, and their squares
may overflow."""

MAX_KEPT = 0.1
"""Channels cancel if the mean of two keeps less than this share of the louder one's energy: it is 10 dB lower. One
channel beside a silent one keeps 0.25, two with different sounds 0.5. With more channels the mean is also lower because
some are silent, so the mean is scaled as if there were two."""
WINDOW_S = 1.0
"""The time over which cancellation is measured."""
STEPS_PER_S = 20
"""Steps per second, about: a step is a power of two of samples, and a block holds a whole number of steps."""
FADE_DIVISOR = 4
"""The change from one source to another takes a step divided by this, 10 to 16 ms."""
SCREEN_DIVISOR = 4
"""At first only this fraction (1/4) of each step is examined. That is nearly always enough; examining all of it costs
ten times as much."""
EQUAL_ENERGY_RATIO = 0.9
"""Channels whose energies have at least this ratio count as equally loud: rounding makes small differences."""
GROUP_STEPS = 4
"""Steps that are screened together, a quarter of a second or less."""
SWITCH_RATIO = 2.0
"""Another channel replaces the one in use only if its energy is higher by this ratio (3 dB)."""
MEAN = -1
"""The source that is the mean of all channels."""


def downmix(blocks: Iterable[NDArray[Any]], rate: int) -> Iterator[Floats]:
    """Yield the mono mix (samples,), full scale 1, of blocks (samples, channels) of any dtype.

    Each output block has its own memory. All blocks but the last must have one length, a multiple of 8,192 samples.

    Args:
        blocks: the audio.
        rate: its sample rate in Hz.
    """
    mixer = _Mixer(rate)
    for block in blocks:
        yield from mixer.feed(_as_floats(block))
    yield from mixer.finish()


class _Mixer:
    """Mixes blocks. A block whose channels may cancel is held until every window that reaches into it is complete.

    A source is a channel's index, or `MEAN`.
    """

    def __init__(self, rate: int) -> None:
        self._step = step_samples(rate)
        self._window = round(WINDOW_S * rate / self._step)
        self._held: deque[_MixerBlock] = deque()
        self._energies: list[_Energies] = []  # of the steps in any window that reaches a held block
        self._released = 0  # how many of these steps are in blocks that are no longer held
        self._source = MEAN  # at the end of the last block
        self._channel: int | None = None  # the last channel that was used instead of the mean

    def feed(self, samples: Floats) -> list[Floats]:
        if samples.shape[1] == 1:
            return [samples[:, 0]]
        block = _MixerBlock(samples, self._step)
        self._held.append(block)
        self._energies.append(block.energies)
        ready = []
        while self._held and self._is_decided(self._held[0]):
            ready.append(self._next())
        return ready

    def finish(self) -> list[Floats]:
        return [self._next() for _ in range(len(self._held))]

    def _is_decided(self, block: "_MixerBlock") -> bool:
        """Whether later audio cannot change the sources of the first held block."""
        behind = sum(each.steps for each in islice(self._held, 1, None))
        return not block.may_cancel or behind >= self._window - 1

    def _next(self) -> Floats:
        block = self._held.popleft()
        sources = self._sources(block) if block.may_cancel else [MEAN]
        is_mean = {self._source, *sources} == {MEAN}
        output = block.mean if is_mean else block.render(sources, self._source)
        self._source = sources[-1]
        self._released += block.steps
        self._drop_old_energies()
        return output

    def _sources(self, block: "_MixerBlock") -> list[int]:
        kept = np.concatenate([each.kept for each in self._energies])
        channels = np.concatenate([each.channels for each in self._energies])
        cancelling = cancelling_steps(kept, channels, self._window)[self._released : self._released + block.steps]
        sources = [MEAN] * block.steps
        for step in np.flatnonzero(cancelling):
            middle = self._released + step
            around = channels[max(0, middle - self._window // 2) : middle + self._window // 2 + 1].sum(axis=0)
            if self._channel is None or around.max() > SWITCH_RATIO * around[self._channel]:
                self._channel = int(np.argmax(around > EQUAL_ENERGY_RATIO * around.max()))  # first of the loudest
            sources[step] = self._channel
        return sources

    def _drop_old_energies(self) -> None:
        """Drop the energies that are in no window that reaches a held block."""
        while self._released - len(self._energies[0].kept) >= self._window - 1:
            self._released -= len(self._energies.pop(0).kept)


def step_samples(rate: int) -> int:
    """Return the length of a step in samples: a power of two, 43 to 64 ms."""
    return 1 << round(math.log2(rate / STEPS_PER_S))


def cancelling_steps(kept: NDArray[Any], energies: NDArray[Any], window: int) -> NDArray[np.bool_]:
    """Return for each step whether its channels cancel (steps,).

    They cancel if they do so in every window around the step, or in some window and in the step itself.

    Args:
        kept: the energy of the mean in each step (steps,), scaled as if there were two channels.
        energies: the energy of each channel in each step (steps, channels).
        window: the number of steps in a window.
    """
    window = min(window, len(kept))
    windows_kept = sliding_window_view(kept, window).sum(axis=-1)
    windows_energies = sliding_window_view(energies, window, axis=0).sum(axis=-1)
    lost = windows_kept < MAX_KEPT * windows_energies.max(axis=1)
    beyond = window - 1
    some = sliding_window_view(np.pad(lost, beyond), window).max(axis=-1)
    every = sliding_window_view(np.pad(lost, beyond, constant_values=True), window).min(axis=-1)
    by_itself = kept < MAX_KEPT * energies.max(axis=1)
    cancelling: NDArray[np.bool_] = every | (some & by_itself)
    return cancelling


class _Energies(NamedTuple):
    """The energies in each step of a block."""

    kept: NDArray[np.float64]
    """The energy of the mean (steps,), scaled as if there were two channels."""
    channels: NDArray[np.float64]
    """The energy of each channel (steps, channels)."""


class _MixerBlock:
    """A block (samples, channels) with its mean and its energies."""

    def __init__(self, samples: Floats, step: int) -> None:
        self._samples = samples
        self._step = step
        channels = samples.shape[1]
        self.mean: Floats = sum(samples.T[1:], samples[:, 0])  # 15 times as fast as mean(axis=1)
        self.mean /= np.float32(channels)
        self.steps = -(-len(samples) // step)
        as_two = (channels / 2) ** 2
        kept = self._in_steps(self.mean, step // SCREEN_DIVISOR) * as_two
        all_channels = self._in_steps(samples, step // SCREEN_DIVISOR)
        groups = range(0, self.steps, GROUP_STEPS)
        in_groups = np.add.reduceat(all_channels, groups)
        self.may_cancel = bool((np.add.reduceat(kept, groups) < MAX_KEPT * in_groups).any())
        """Whether the screening finds channels that cancel for a quarter of a second."""
        if self.may_cancel:
            each = [self._in_steps(channel, step) for channel in samples.T]
            self.energies = _Energies(self._in_steps(self.mean, step) * as_two, np.stack(each, axis=1))
        else:  # an estimate that never reports a cancellation by mistake
            each = [all_channels * (SCREEN_DIVISOR / channels)] * channels
            self.energies = _Energies(kept * SCREEN_DIVISOR, np.stack(each, axis=1))

    def _in_steps(self, samples: Floats, count: int) -> NDArray[np.float64]:
        """Return the energy of the first `count` samples of each step (steps,)."""
        width = samples[0].size
        whole = len(samples) // self._step
        steps = samples[: whole * self._step].reshape(whole, self._step * width)[:, : count * width]
        energies: NDArray[np.float32] = np.einsum("ij,ij->i", steps, steps)
        if whole * self._step < len(samples):
            rest = samples[whole * self._step :][:count].ravel()
            energies = np.append(energies, np.einsum("i,i->", rest, rest))
        return energies.astype(np.float64)

    def render(self, sources: list[int], before: int) -> Floats:
        """Return the mono samples (samples,): each step from its source, cross-faded where the source changes.

        The last source holds to the end of the block; `before` is the source at the end of the previous block.
        """
        output = self.mean.copy()
        for at, source in enumerate(sources):
            start = at * self._step
            end = start + self._step if at + 1 < len(sources) else len(output)
            output[start:end] = self._samples_of(source)[start:end]
            if source != before:
                end = min(start + self._step // FADE_DIVISOR, len(output))
                share = np.linspace(0, 1, end - start, endpoint=False, dtype=np.float32)
                output[start:end] += (1 - share) * (self._samples_of(before)[start:end] - output[start:end])
            before = source
        return output

    def _samples_of(self, source: int) -> Floats:
        return self.mean if source == MEAN else self._samples[:, source]


def _as_floats(raw: NDArray[Any]) -> Floats:
    """Return samples of any dtype as finite floats."""
    return _finite(raw) if raw.dtype.kind == "f" else _scaled(raw)


def _scaled(raw: NDArray[Any]) -> Floats:
    """Return integer samples as floats, full scale 1."""
    half = np.float32(2.0 ** (8 * raw.itemsize - 1))
    scaled: Floats = np.multiply(raw, 1 / half, dtype=np.float32)
    return scaled - 1 if raw.dtype.kind == "u" else scaled


def _finite(raw: NDArray[Any]) -> Floats:
    """Return float samples with NaN and infinity set to 0, and the rest within `MAX_SAMPLE`."""
    if not np.abs(raw).max(initial=0) <= MAX_SAMPLE:  # also true of nan
        raw = np.clip(np.nan_to_num(raw, nan=0, posinf=0, neginf=0), -MAX_SAMPLE, MAX_SAMPLE)
    return raw.astype(np.float32)
