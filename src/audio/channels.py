"""Several channels mixed down to one, whatever they hold.

The mean of the channels is right as a rule. Where one channel is another's opposite (a balanced cable, a dictation
device with its wires crossed) the mean is silence, and the louder channel is taken instead. Whether channels cancel is
judged over a second, so that music which is out of phase for a moment is left alone; where that begins and ends, over
64 ms.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from src.audio.samples import Samples

LOUDEST = 2.0**31
"""The largest sample let out. Decoders overshoot 1, and float files may hold another format's integers unscaled; the
model does not mind loudness, clipping would hurt. Beyond any integer sample it is damage, whose square may overflow."""

MAX_KEPT = 0.1
"""Channels cancel where the mean of two keeps less than this of the louder one's energy: it is 10 dB lower. One channel
beside a silent one keeps 0.25, two of different sounds 0.5. The mean of more is lower because others are silent, too,
and so it is measured as if they were two."""
WINDOW_S = 1.0
STEPS_PER_S = 20
"""About how many steps a second has; a step is a power of two of samples, of which a block has a whole number."""
FADE_SHARE = 4
"""The change from one source to another takes this part of a step, 10 to 16 ms."""
LOOKED_AT_SHARE = 4
"""This part of each step is looked at first, and nearly always all that is: the rest costs ten times as much."""
ALIKE = 0.9
"""Channels whose energies differ by less are as loud as each other: rounding makes differences."""
GROUP_STEPS = 4
"""So many steps are looked at together, a quarter of a second or less."""
MUCH_LOUDER = 2.0
"""Another channel is taken instead of one that was taken before where its energy is so many times as high (3 dB)."""
MEAN = -1


def downmix(blocks: Iterable[NDArray[Any]], rate: int) -> Iterator[Samples]:
    """Yield the mono mix (samples,) of blocks of samples (samples, channels) of any type, each in memory of its own.

    All blocks but the last are as long as each other, a multiple of 8,192 samples. Full scale is 1.
    """
    mixer = _Mixer(rate)
    for block in blocks:
        yield from mixer.feed(_floats(block))
    yield from mixer.finish()


class _Mixer:
    """Holds a block back, where its channels may cancel, until windows that reach beyond it are known.

    A "source" is a channel's index, or `MEAN`.
    """

    def __init__(self, rate: int) -> None:
        self._step = step_samples(rate)
        self._window = round(WINDOW_S * rate / self._step)
        self._held: deque[_Block] = deque()
        self._energies: list[_Energies] = []  # of each step that windows around held ones reach
        self._given = 0  # of these steps, how many are in blocks that are no longer held
        self._source = MEAN
        self._channel: int | None = None  # that was taken last

    def feed(self, samples: Samples) -> list[Samples]:
        if samples.shape[1] == 1:
            return [samples[:, 0]]
        block = _Block(samples, self._step)
        self._held.append(block)
        self._energies.append(block.energies)
        ready = []
        while self._held and self._is_judged(self._held[0]):
            ready.append(self._next())
        return ready

    def finish(self) -> list[Samples]:
        return [self._next() for _ in range(len(self._held))]

    def _is_judged(self, block: "_Block") -> bool:
        """Whether nothing that comes later changes what is to be done with the first block held."""
        behind = sum(each.steps for each in islice(self._held, 1, None))
        return not block.may_cancel or behind >= self._window - 1

    def _next(self) -> Samples:
        block = self._held.popleft()
        sources = self._sources(block) if block.may_cancel else [MEAN]
        is_mean = {self._source, *sources} == {MEAN}
        output = block.mean if is_mean else block.rendered(sources, self._source)
        self._source = sources[-1]
        self._given += block.steps
        self._forget()
        return output

    def _sources(self, block: "_Block") -> list[int]:
        kept = np.concatenate([each.kept for each in self._energies])
        channels = np.concatenate([each.channels for each in self._energies])
        cancelling = cancelling_steps(kept, channels, self._window)[self._given : self._given + block.steps]
        sources = [MEAN] * block.steps
        for step in np.flatnonzero(cancelling):
            middle = self._given + step
            around = channels[max(0, middle - self._window // 2) : middle + self._window // 2 + 1].sum(axis=0)
            if self._channel is None or around.max() > MUCH_LOUDER * around[self._channel]:
                self._channel = int(np.argmax(around > ALIKE * around.max()))  # the first of some that are alike
            sources[step] = self._channel
        return sources

    def _forget(self) -> None:
        """Let go of what no window reaches that also reaches a held block."""
        while self._given - len(self._energies[0].kept) >= self._window - 1:
            self._given -= len(self._energies.pop(0).kept)


def step_samples(rate: int) -> int:
    """Return how long a step is: 43 to 64 ms, a power of two of samples."""
    return 1 << round(math.log2(rate / STEPS_PER_S))


def cancelling_steps(kept: NDArray[Any], energies: NDArray[Any], window: int) -> NDArray[np.bool_]:
    """Return in which steps channels cancel, (steps,).

    All windows around a step say so, or some do and the step itself.

    Args:
        kept: the energy of the mean in each step (steps,), as if it were two channels'.
        energies: the energy of each channel in each step (steps, channels).
        window: steps in a window.
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
    """What each step of a block holds."""

    kept: NDArray[np.float64]
    """The energy of the mean (steps,), as if it were two channels'."""
    channels: NDArray[np.float64]
    """The energy of each channel (steps, channels)."""


class _Block:
    """Samples (samples, channels), and what of them is worked out."""

    def __init__(self, samples: Samples, step: int) -> None:
        self._samples = samples
        self._step = step
        channels = samples.shape[1]
        self.mean: Samples = sum(samples.T[1:], samples[:, 0])  # 15 times as fast as mean(axis=1)
        self.mean /= np.float32(channels)
        self.steps = -(-len(samples) // step)
        as_two = (channels / 2) ** 2
        kept = self._in_steps(self.mean, step // LOOKED_AT_SHARE) * as_two
        all_channels = self._in_steps(samples, step // LOOKED_AT_SHARE)
        groups = range(0, self.steps, GROUP_STEPS)
        in_groups = np.add.reduceat(all_channels, groups)
        self.may_cancel = bool((np.add.reduceat(kept, groups) < MAX_KEPT * in_groups).any())
        """Whether channels cancel for a quarter of a second, as far as that is looked at first."""
        if self.may_cancel:
            each = [self._in_steps(channel, step) for channel in samples.T]
            self.energies = _Energies(self._in_steps(self.mean, step) * as_two, np.stack(each, axis=1))
        else:  # an estimate, by which nothing cancels that does not in truth
            each = [all_channels * (LOOKED_AT_SHARE / channels)] * channels
            self.energies = _Energies(kept * LOOKED_AT_SHARE, np.stack(each, axis=1))

    def _in_steps(self, samples: Samples, looked_at: int) -> NDArray[np.float64]:
        """Return the energy in the first so many samples of each step, (steps,)."""
        width = samples[0].size
        whole = len(samples) // self._step
        steps = samples[: whole * self._step].reshape(whole, self._step * width)[:, : looked_at * width]
        energies: NDArray[np.float32] = np.einsum("ij,ij->i", steps, steps)
        if whole * self._step < len(samples):
            torn = samples[whole * self._step :][:looked_at].ravel()
            energies = np.append(energies, np.einsum("i,i->", torn, torn))
        return energies.astype(np.float64)

    def rendered(self, sources: list[int], before: int) -> Samples:
        """Return each step from its source, the last of which holds to the end, faded over from the one before it."""
        output = self.mean.copy()
        for at, source in enumerate(sources):
            start = at * self._step
            end = start + self._step if at + 1 < len(sources) else len(output)
            output[start:end] = self._of(source)[start:end]
            if source != before:
                end = min(start + self._step // FADE_SHARE, len(output))
                share = np.linspace(0, 1, end - start, endpoint=False, dtype=np.float32)
                output[start:end] += (1 - share) * (self._of(before)[start:end] - output[start:end])
            before = source
        return output

    def _of(self, source: int) -> Samples:
        return self.mean if source == MEAN else self._samples[:, source]


def _floats(raw: NDArray[Any]) -> Samples:
    """Return samples of any type as finite floats."""
    return _finite(raw) if raw.dtype.kind == "f" else _scaled(raw)


def _scaled(raw: NDArray[Any]) -> Samples:
    """Return integer samples as floats of full scale 1."""
    half = np.float32(2.0 ** (8 * raw.itemsize - 1))
    scaled: Samples = np.multiply(raw, 1 / half, dtype=np.float32)
    return scaled - 1 if raw.dtype.kind == "u" else scaled


def _finite(raw: NDArray[Any]) -> Samples:
    """Return float samples with 0 for what is no number, and the rest within `LOUDEST`."""
    if not np.abs(raw).max(initial=0) <= LOUDEST:  # also true of nan
        raw = np.clip(np.nan_to_num(raw, nan=0, posinf=0, neginf=0), -LOUDEST, LOUDEST)
    return raw.astype(np.float32)
