"""Frames of live audio on their way through gain control and the speech detector, those of many streams together."""

from collections.abc import Sequence
from typing import NamedTuple, cast

from src.audio.gain import GainControl
from src.audio.samples import Samples
from src.audio.vad import Probabilities, ProbabilityStream, SpeechDetector, SpeechStream


class LiveFrames(NamedTuple):
    """The next frames of a live stream, whose probabilities of speech are wanted."""

    samples: Samples
    """Whole frames (samples,)."""
    gain: GainControl
    """The stream's gain control."""
    stream: ProbabilityStream
    """The stream of the speech detector."""

    def probabilities(self) -> Probabilities:
        """Return the probability of speech in each frame (frames,)."""
        levelled, _ = self.gain.apply(self.samples)
        return self.stream.feed(levelled.ravel())


def probabilities_of(detector: SpeechDetector, batch: Sequence[LiveFrames]) -> list[Probabilities | Exception]:
    """Return the probability of speech in each frame (frames,) of each stream; if one fails, its error instead.

    Args:
        detector: the detector of the streams. Its network processes all of them in one call.
        batch: for each stream, its next frames.
    """
    if len(batch) < 2:
        return [_alone(each) for each in batch]  # what many share would cost one more than it saves
    try:
        levelled = GainControl.apply_together([each.gain for each in batch], [each.samples for each in batch])
    except Exception:  # one stream's, which must not be all streams'
        return [_alone(each) for each in batch]
    return detector.feed_each([cast("SpeechStream", each.stream) for each in batch], levelled)


def _alone(frames: LiveFrames) -> Probabilities | Exception:
    try:
        return frames.probabilities()
    except Exception as error:
        return error
