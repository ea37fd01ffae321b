"""Second thoughts on a transcript: speech that the model did not hear, and words that nobody said.

Models of this family sometimes return nothing for a short utterance beside silence (NeMo issue 15757), and words for
tones, music or faint noise. The speech detector knows better, but costs 0.6 ms for a second of audio. So it is asked
only where cheap signs call for it: `doubtful`. Where it finds no speech there is no text; where it finds speech and the
model found none, the model gets that stretch alone, with one margin after another: `retries`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from src.asr.transcript import Token, Transcript
from src.audio.decode import SAMPLE_RATE
from src.audio.vad import Samples, Span

UNSURE_LOGPROB = -0.12
"""A mean over the tokens below this is doubtful: with the tiny model that of 1 of 39 spoken clips, and of 9 in 10
texts that it makes of tones and music."""
FEW_WORDS = 4
"""Words made up of nothing are few as a rule ("Yeah.", "Mm-hmm.")."""
QUIET = 0.02
"""Speech is seldom recorded with its peaks below -34 dB, noise often."""
SILENT = 1e-4
"""Samples up to this, three steps of 16 bits, are dither."""
MIN_SPEECH_S = 0.15
"""The detector gives 0.19 s and more to single words, 0.13 s at most to the tones and noises that were tried. Silero's
own 0.25 s would lose "The" and "Three"."""
SCAN_SAMPLES = 1 << 15
"""Two seconds are looked at by one: speech is loud within the first few, and calls cost time in a clip of silence."""
MARGINS_S = (0.25, 0.5, 0.1, 1.0)
"""How much to leave beside speech, most promising first."""


@dataclass(frozen=True, slots=True, eq=False)
class Retry:
    """Another version of a clip to give to the model."""

    samples: Samples
    """16 kHz mono (samples,)."""
    offset_s: float
    """Where in the clip its first sample lies; negative where silence was put before the clip."""
    clip_s: float
    """The duration of the clip."""

    def restored(self, transcript: Transcript) -> Transcript:
        """Return its transcript with the times of the clip."""
        return Transcript(transcript.text, tuple(self._restored(token) for token in transcript.tokens))

    def _restored(self, token: Token) -> Token:
        start_s, end_s = (min(max(time_s + self.offset_s, 0.0), self.clip_s) for time_s in (token.start_s, token.end_s))
        return replace(token, start_s=start_s, end_s=end_s)


def doubtful(transcript: Transcript, samples: Samples) -> bool:
    """Whether the detector should be asked about a clip of 16 kHz samples (samples,) that has this transcript."""
    if not transcript.text:
        return louder_than(SILENT, samples)
    if not transcript.tokens:
        return False
    return (
        len(transcript.text.split()) <= FEW_WORDS
        or fmean(token.logprob for token in transcript.tokens) < UNSURE_LOGPROB
        or not louder_than(QUIET, samples)
    )


def louder_than(level: float, samples: Samples) -> bool:
    """Whether any of 16 kHz samples (samples,) has a magnitude above `level`. Reads no further than the first."""
    return any(_peak(samples[start : start + SCAN_SAMPLES]) > level for start in range(0, len(samples), SCAN_SAMPLES))


def _peak(samples: Samples) -> float:
    return float(np.abs(samples).max(initial=0))


def speech_in(spans: Sequence[Span]) -> Span | None:
    """Return the stretch from the first to the last speech, given what the detector found; None if nobody speaks."""
    spoken = [span for span in spans if span.end_s - span.start_s >= MIN_SPEECH_S]
    return Span(spoken[0].start_s, spoken[-1].end_s) if spoken else None


def retries(samples: Samples, speech: Span) -> Iterator[Retry]:
    """Yield versions of a clip in which the model may hear its `speech`: that alone, between margins of silence."""
    first, last = (round(time_s * SAMPLE_RATE) for time_s in speech)
    for margin_s in MARGINS_S:
        margin = round(margin_s * SAMPLE_RATE)
        start, end = first - margin, last + margin
        kept = samples[max(start, 0) : end]
        padded = np.pad(kept, (max(-start, 0), max(end - len(samples), 0)))
        yield Retry(padded, start / SAMPLE_RATE, len(samples) / SAMPLE_RATE)
