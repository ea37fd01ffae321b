"""Where in audio voices are listened to: windows of 1.5 s within the spans of speech, and phrases of short spans.

A window does not cross a pause, as another voice may speak after it. A span shorter than a window is one window: its
features are repeated to fill it. That tells voices apart less well, so short spans that follow each other and sound
alike, such as digits, are listened to once more together.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.audio.samples import Samples
from src.audio.vad import Span
from src.engine.voice_encoder import FRAMES_PER_S, HIDDEN, HOP, Embeddings, Features

FRAMES = 150
"""Frames of a window, 1.5 s; the network was trained on 1.4 to 1.8 s."""
HOP_FRAMES = 75
"""The most frames from one window of a span to the next."""
MIN_FRAMES = 10
"""A shorter span is no speech."""
GROUP_S = 60.0
"""The most speech that is taken at once; 1 MB of features, and 2 MB of windows."""
PHRASE_PAUSE_S = 1.0
"""The longest pause within a phrase."""
PHRASE_LIKENESS = 0.65
"""How alike a span and the phrase before it sound at least. For spans of 0.3 to 0.6 s the mean is 0.75 within a voice,
and 0.6 between a voice and the one most like it."""


@dataclass(frozen=True, slots=True, eq=False)
class VoiceWindows:
    """Windows, and what the voice in each sounds like. Times are in seconds from the start of the audio."""

    starts_s: NDArray[np.float64]
    """(windows,)"""
    ends_s: NDArray[np.float64]
    """(windows,)"""
    speech_s: NDArray[np.float64]
    """How much speech is in each (windows,)."""
    embeddings: Embeddings
    """(windows, 256)"""

    def __len__(self) -> int:
        """The number of windows."""
        return len(self.starts_s)

    def later(self, by_s: float) -> "VoiceWindows":
        """Return the windows with times that are later."""
        return VoiceWindows(self.starts_s + by_s, self.ends_s + by_s, self.speech_s, self.embeddings)

    def part(self, windows: NDArray[np.int64] | NDArray[np.bool_]) -> "VoiceWindows":
        """Return some of the windows."""
        return VoiceWindows(
            self.starts_s[windows], self.ends_s[windows], self.speech_s[windows], self.embeddings[windows]
        )


NO_WINDOWS = VoiceWindows(np.empty(0), np.empty(0), np.empty(0), np.empty((0, HIDDEN), np.float32))


def joined(parts: Sequence[VoiceWindows]) -> VoiceWindows:
    """Return the windows of all parts."""
    return VoiceWindows(
        np.concatenate([part.starts_s for part in parts]),
        np.concatenate([part.ends_s for part in parts]),
        np.concatenate([part.speech_s for part in parts]),
        np.concatenate([part.embeddings for part in parts]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Speech:
    """Features of speech, and the frame of the audio that each is from (frames,)."""

    features: Features
    frames: NDArray[np.int64]


def listen(
    samples: Samples,
    spans: Iterable[Span],
    features: Callable[[Samples], Features],
    embed: Callable[[NDArray[np.float32]], Embeddings],
    is_stopped: Callable[[], bool] = lambda: False,
) -> VoiceWindows:
    """Return the windows of the spans of speech in 16 kHz samples (samples,).

    Args:
        samples: the audio.
        spans: where somebody speaks.
        features: returns the features of samples, as `VoiceEncoder.features`.
        embed: returns the embeddings of windows of features (windows, 150, 40), as `VoiceEncoder.embed`.
        is_stopped: whether nobody needs the rest.
    """
    found = [NO_WINDOWS]
    for group in _groups(spans):
        if is_stopped():
            break
        speech = [_speech(samples, span, features) for span in group]
        speech = [each for each in speech if len(each.frames) >= MIN_FRAMES]
        if speech:
            windows = [_windows(each) for each in speech]
            alone = _embedded([window for each in windows for window in each], embed)
            phrases = _phrases(speech, alone.part(_first_of(windows)))
            together = [window for phrase in phrases for window in _windows(phrase)]
            found += [alone, _embedded(together, embed)] if together else [alone]
    return joined(found)


def _groups(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Yield the spans, in groups of `GROUP_S` of speech at most. A longer span is several."""
    group: list[Span] = []
    room_s = GROUP_S
    for span in _limited(spans):
        if span.end_s - span.start_s > room_s:
            yield group
            group, room_s = [], GROUP_S
        group.append(span)
        room_s -= span.end_s - span.start_s
    yield group


def _limited(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield spans of at most `GROUP_S`."""
    for span in spans:
        start_s = span.start_s
        while span.end_s - start_s > GROUP_S:
            yield Span(start_s, start_s + GROUP_S)
            start_s += GROUP_S
        yield Span(start_s, span.end_s)


def _speech(samples: Samples, span: Span, features: Callable[[Samples], Features]) -> _Speech:
    first, last = (round(time_s * FRAMES_PER_S) for time_s in span)
    part = samples[first * HOP : last * HOP]
    computed = features(part)[: last - first] if len(part) else np.empty((0, 0), np.float32)
    return _Speech(computed, np.arange(first, first + len(computed)))


def _first_of(windows: Sequence[Sequence[_Speech]]) -> NDArray[np.int64]:
    """Return the number of the first window of each span."""
    counts = np.array([len(each) for each in windows], np.int64)
    first: NDArray[np.int64] = counts.cumsum() - counts
    return first


def _phrases(spans: Sequence[_Speech], heard: VoiceWindows) -> list[_Speech]:
    """Return short spans that follow each other and sound alike, joined; each phrase is of two spans or more.

    Args:
        spans: all spans, in order.
        heard: the first window of each.
    """
    phrases: list[list[int]] = []
    before: int | None = None
    for number, span in enumerate(spans):
        if len(span.frames) >= FRAMES:
            before = None
            continue
        if before is not None and _follows(spans[before], span) and _sounds_alike(heard, phrases[-1], number):
            phrases[-1].append(number)
        else:
            phrases.append([number])
        before = number
    return [_together([spans[number] for number in phrase]) for phrase in phrases if len(phrase) > 1]


def _follows(earlier: _Speech, later: _Speech) -> bool:
    return float(later.frames[0] - earlier.frames[-1]) <= PHRASE_PAUSE_S * FRAMES_PER_S


def _sounds_alike(heard: VoiceWindows, phrase: list[int], number: int) -> bool:
    """Return whether a span sounds like the phrase before it."""
    before = heard.speech_s[phrase] @ heard.embeddings[phrase]
    return bool(before @ heard.embeddings[number] >= PHRASE_LIKENESS * np.linalg.norm(before))


def _together(spans: Sequence[_Speech]) -> _Speech:
    return _Speech(np.concatenate([span.features for span in spans]), np.concatenate([span.frames for span in spans]))


def _windows(span: _Speech) -> list[_Speech]:
    """Return windows that lie evenly over a span."""
    extra = max(0, len(span.frames) - FRAMES)
    starts = np.linspace(0, extra, 1 + -(-extra // HOP_FRAMES)).round().astype(int).tolist()
    return [_Speech(span.features[start : start + FRAMES], span.frames[start : start + FRAMES]) for start in starts]


def _embedded(windows: Sequence[_Speech], embed: Callable[[NDArray[np.float32]], Embeddings]) -> VoiceWindows:
    return VoiceWindows(
        np.array([window.frames[0] for window in windows]) / FRAMES_PER_S,
        np.array([window.frames[-1] + 1 for window in windows]) / FRAMES_PER_S,
        np.array([len(window.frames) for window in windows]) / FRAMES_PER_S,
        embed(np.stack([_filled(window.features) for window in windows])),
    )


def _filled(features: Features) -> Features:
    """Return features repeated to the length of a window."""
    return features if len(features) == FRAMES else np.resize(features, (FRAMES, features.shape[1]))
