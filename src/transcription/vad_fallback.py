"""Second thoughts on a transcript: speech that the model did not hear, and words that nobody said.

Models of this family sometimes return nothing for a short utterance beside silence (NeMo issue 15757), nothing for
quiet speech beside something far louder, by which they scale all of a clip, and words for tones, music or faint noise.
The speech detector knows better, but costs 0.7 ms for a second of audio. So it is asked only where cheap signs call for
it: `needs_vad_check`, `may_hide_quiet_speech`. Where it finds no speech there is no text; where it finds speech and the
model found none (`missed_speech`), the model gets that stretch alone, with one margin after another (`retry_clips`),
and what it says then has its place among the other words (`insert_words`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from src.audio.gain import CREST_FACTOR, FAINT_RATIO, FRAME_S, SILENCE_PEAK, loudness_of
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import Span
from src.text.transcript import WORD_START, Token, Transcript, text_of

UNSURE_LOGPROB = -0.12
"""A mean over the tokens below this is doubtful: with the tiny model that of 1 of 39 spoken clips, and of 9 in 10
texts that it makes of tones and music."""
FEW_WORDS = 4
"""Words made up of nothing are few as a rule ("Yeah.", "Mm-hmm.")."""
QUIET = 0.02
"""Speech is seldom recorded with its peaks below -34 dB, noise often."""
MIN_SPEECH_S = 0.15
"""The detector gives 0.19 s and more to single words, 0.13 s at most to the tones and noises that were tried. Silero's
own 0.25 s would lose "The" and "Three"."""
SCAN_SAMPLES = 1 << 15
"""Two seconds are looked at by one: speech is loud within the first few, and calls cost time in a clip of silence."""
GAP_S = 1.0
"""So much time without a token, in a clip, is worth a look."""
UNTOLD_S = 0.7
"""Within speech, so much time without a token is too much: people say two to six words in a second."""
NEAR_S = 0.4
"""A word belongs to speech that is so near; the detector and the model differ by as much about where a word begins."""
MODULATION = 3.0
"""Speech is louder than the pauses in it by more than this, 10 dB; noise in a room is not."""
LOUDER = 4.0
"""What is in a margin and so many times as loud as the speech would drown it again."""
MARGINS_S = (0.25, 0.5, 0.1, 1.0)
"""How much to leave beside speech, most promising first."""


@dataclass(frozen=True, slots=True, eq=False)
class RetryClip:
    """Another version of a clip to give to the model."""

    samples: Samples
    """16 kHz mono (samples,)."""
    offset_s: float
    """Where in the clip its first sample lies; negative where silence was put before the clip."""
    clip_s: float
    """The duration of the clip."""

    def in_clip_time(self, transcript: Transcript) -> Transcript:
        """Return its transcript with the times of the clip."""
        return Transcript(transcript.text, tuple(self._restored(token) for token in transcript.tokens))

    def _restored(self, token: Token) -> Token:
        start_s, end_s = (min(max(time_s + self.offset_s, 0.0), self.clip_s) for time_s in (token.start_s, token.end_s))
        return replace(token, start_s=start_s, end_s=end_s)


def needs_vad_check(transcript: Transcript, samples: Samples) -> bool:
    """Whether the detector should be asked about a clip of 16 kHz samples (samples,) that has this transcript."""
    if not transcript.text:
        return louder_than(SILENCE_PEAK, samples)
    if not transcript.tokens:
        return False
    return (
        len(transcript.text.split()) <= FEW_WORDS
        or fmean(token.logprob for token in transcript.tokens) < UNSURE_LOGPROB
        or not louder_than(QUIET, samples)
    )


def has_gaps(transcript: Transcript, samples: Samples) -> bool:
    """Whether a clip of 16 kHz samples (samples,) that has this transcript goes on for long without a word."""
    return bool(transcript.tokens) and any(_untold(Span(0.0, len(samples) / SAMPLE_RATE), transcript.tokens, GAP_S))


def may_hide_quiet_speech(transcript: Transcript, samples: Samples) -> bool:
    """Whether a clip has sounds without words that are far quieter than others in it, and vary as speech does.

    It takes 10 us for a second of 16 kHz samples (samples,) that have this transcript, and `has_gaps`.
    """
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    levels = CREST_FACTOR * loudness_of(frames)
    faint = FAINT_RATIO * float(levels.max(initial=0))
    for gap in _untold(Span(0.0, len(samples) / SAMPLE_RATE), transcript.tokens, GAP_S):
        first, last = round((gap.start_s + NEAR_S) / FRAME_S), round((gap.end_s - NEAR_S) / FRAME_S)
        if _may_hide_speech(levels[first:last], faint):
            return True
    return False


def _may_hide_speech(levels: NDArray[np.float32], faint: float) -> bool:
    quiet = np.sort(levels[levels < faint])
    if len(quiet) * FRAME_S < MIN_SPEECH_S:
        return False
    loud = float(quiet[-round(MIN_SPEECH_S / FRAME_S)])
    return loud > max(SILENCE_PEAK, MODULATION * float(quiet[len(quiet) // 4]))


def _untold(stretch: Span, tokens: Sequence[Token], most_s: float) -> Iterator[Span]:
    """Yield the parts of a stretch, longer than `most_s`, in which no token lies but marks, which come late."""
    told_s = stretch.start_s
    for token in filter(_is_spoken, tokens):
        if min(token.start_s, stretch.end_s) - told_s > most_s:
            yield Span(told_s, min(token.start_s, stretch.end_s))
        told_s = max(told_s, token.end_s)
    if stretch.end_s - told_s > most_s:
        yield Span(told_s, stretch.end_s)


def louder_than(level: float, samples: Samples) -> bool:
    """Whether any of 16 kHz samples (samples,) has a magnitude above `level`. Reads no further than the first."""
    return any(_peak(samples[start : start + SCAN_SAMPLES]) > level for start in range(0, len(samples), SCAN_SAMPLES))


def _peak(samples: Samples) -> float:
    return float(np.abs(samples).max(initial=0))


def without_short_spans(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return those of the detector's spans that are long enough for a word."""
    return tuple(span for span in spans if span.end_s - span.start_s >= MIN_SPEECH_S)


def speech_extent(spans: Sequence[Span]) -> Span | None:
    """Return the stretch from the first to the last speech, given what the detector found; None if nobody speaks."""
    speech = without_short_spans(spans)
    return Span(speech[0].start_s, speech[-1].end_s) if speech else None


def missed_speech(transcript: Transcript, spans: Sequence[Span]) -> Iterator[Span]:
    """Yield the stretches of speech that lack words, given what the detector found.

    Where there is no text, that is all from the first speech to the last.
    """
    whole = speech_extent(spans)
    if whole and not transcript.text:
        yield whole
        return
    stretch: Span | None = None
    for span in without_short_spans(spans):
        if _is_told(span, transcript.tokens):
            continue
        if stretch and span.start_s - stretch.end_s < GAP_S:
            stretch = Span(stretch.start_s, span.end_s)
            continue
        if stretch:
            yield stretch
        stretch = span
    if stretch:
        yield stretch


def _is_told(span: Span, tokens: Sequence[Token]) -> bool:
    """Whether speech has words, without a gap among them."""
    return any(_is_near(token, span) for token in tokens if _is_spoken(token)) and not any(
        _untold(span, tokens, UNTOLD_S)
    )


def _is_spoken(token: Token) -> bool:
    return any(map(str.isalnum, token.piece))


def _is_near(token: Token, span: Span) -> bool:
    return span.start_s - NEAR_S <= token.start_s <= span.end_s + NEAR_S


def retry_clips(samples: Samples, speech: Span) -> Iterator[RetryClip]:
    """Yield versions of a clip in which the model may hear its `speech`: that alone, between margins of silence."""
    first, last = (round(time_s * SAMPLE_RATE) for time_s in speech)
    for margin_s in MARGINS_S:
        margin = round(margin_s * SAMPLE_RATE)
        start, end = first - margin, last + margin
        kept = samples[max(start, 0) : end]
        padded = np.pad(kept, (max(-start, 0), max(end - len(samples), 0)))
        _silence_loud(padded[:margin][::-1], padded[margin : margin + last - first])
        _silence_loud(padded[margin + last - first :], padded[margin : margin + last - first])
        yield RetryClip(padded, start / SAMPLE_RATE, len(samples) / SAMPLE_RATE)


def _silence_loud(margin: Samples, speech: Samples) -> None:
    """Silence a margin from where it is much louder than the speech beside it; the margin begins at the speech."""
    loud = np.flatnonzero(np.abs(margin) > LOUDER * _peak(speech))
    if len(loud):
        margin[loud[0] :] = 0


def insert_words(transcript: Transcript, found: Transcript, stretch: Span, speech: Sequence[Span]) -> Transcript:
    """Return a transcript with what was found in a stretch of it, where that has more words than it had there.

    Words that lie beside all `speech` are left out then: the model made them of noise.
    """
    if not transcript.text:
        return found
    words = list(_words(transcript.tokens))
    within = [word for word in words if _is_near(word[0], stretch)]
    new = list(_words(found.tokens))
    if len(new) <= len(within):
        return transcript
    kept = [word for word in words if word not in within and any(_is_near(word[0], span) for span in speech)]
    tokens = _in_order([*kept, *new])
    return Transcript(text_of(tokens), tokens)


def _words(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the tokens of each word, with the marks that follow it."""
    word: list[Token] = []
    for token in tokens:
        if word and token.piece.startswith(WORD_START):
            yield word
            word = []
        word.append(token)
    if word:
        yield word


def _in_order(words: list[list[Token]]) -> tuple[Token, ...]:
    """Return the tokens of words by time; a mark may have come late, after the word that follows now."""
    words = sorted(words, key=lambda word: word[0].start_s)
    limits_s = [*(word[0].start_s for word in words[1:]), math.inf]
    return tuple(
        replace(token, start_s=min(token.start_s, limit_s), end_s=min(token.end_s, limit_s))
        for word, limit_s in zip(words, limits_s, strict=True)
        for token in word
    )
