"""The VAD fallback: corrects a transcript that lacks speech, or that has words although nobody speaks.

Models of this family have three faults. They may return nothing for a short utterance next to silence (NeMo issue
15757). They may return nothing for quiet speech next to something far louder, because a clip is scaled as a whole. And
they may return words for tones, music or faint noise.

The speech detector knows better, but costs 0.7 ms per second of audio. It only runs if cheap signs call for it
(`needs_vad_check`, `may_hide_quiet_speech`). Without speech there is no text. A stretch of speech without words
(`missed_speech`) is given to the model by itself, with different margins (`retry_clips`), and the words that it then
returns are inserted into the transcript (`insert_words`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from src.audio.gain import CREST_FACTOR, FAINT_RATIO, FRAME_S, SILENCE_PEAK, loudness_of
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.silero import FRAME_SAMPLES
from src.audio.vad import Span
from src.text.transcript import WORD_START, Token, Transcript, text_of

MIN_SURE_LOGPROB = -0.12
"""The model is unsure of a transcript whose mean over its tokens is below this. With the tiny model that is 1 of 39
clips of speech, and 9 of 10 texts that it makes of tones and music."""
MAX_FEW_WORDS = 4
"""If the model returns words although nobody speaks, they are rarely more than this ("Yeah.", "Mm-hmm.")."""
QUIET_PEAK = 0.02
"""Recordings of speech seldom have a peak below this (-34 dB), recordings of noise often."""
MIN_SPEECH_S = 0.15
"""Shorter detections are not speech. The detector returns at least 0.19 s for single words, and at most 0.13 s for the
tones and noises that were tried. Silero's own minimum of 0.25 s would lose "The" and "Three"."""
SCAN_BLOCK = 1 << 15
"""Samples that are checked at a time, two seconds. Speech is loud within the first few seconds, so there is no need to
check more; in a clip of silence, each call costs time."""
MIN_GAP_S = 1.0
"""A clip has a gap if no token falls within this time."""
MAX_WORD_GAP_S = 0.7
"""A gap within speech: people say two to six words per second, so a longer time without a token lacks words."""
TOLERANCE_S = 0.4
"""A word belongs to a span of speech that is at most this far away. The detector and the model differ by that much on
where a word starts."""
MIN_MODULATION = 3.0
"""Speech is more than this many times as loud as its pauses (10 dB). The noise of a room is more even."""
DROWNING_RATIO = 4.0
"""A sound in the margin that is this many times as loud as the speech would hide it from the model again."""
MARGINS_S = (0.25, 0.5, 0.1, 1.0)
"""Margins that are kept on both sides of speech, the most promising first."""


@dataclass(frozen=True, slots=True, eq=False)
class RetryClip:
    """A part of a clip that is given to the model again."""

    samples: Samples
    """16 kHz mono (samples,)."""
    offset_s: float
    """Time of its first sample in the clip; negative if silence was added in front of the clip."""
    clip_s: float
    """Duration of the clip."""

    def in_clip_time(self, transcript: Transcript) -> Transcript:
        """Return a transcript of this part with times from the start of the clip."""
        return Transcript(transcript.text, tuple(self._token_in_clip_time(token) for token in transcript.tokens))

    def _token_in_clip_time(self, token: Token) -> Token:
        start_s, end_s = (min(max(time_s + self.offset_s, 0.0), self.clip_s) for time_s in (token.start_s, token.end_s))
        return token._replace(start_s=start_s, end_s=end_s)


def needs_vad_check(transcript: Transcript, samples: Samples) -> bool:
    """Return whether the transcript of 16 kHz samples (samples,) may be wrong as a whole.

    It may be if it is empty although the clip is not silent, if it is short, if the model is unsure, or if the clip is
    quiet.
    """
    if not transcript.text:
        return peak_exceeds(samples, SILENCE_PEAK)
    if not transcript.tokens:
        return False
    return (
        len(transcript.text.split()) <= MAX_FEW_WORDS
        or fmean(token.logprob for token in transcript.tokens) < MIN_SURE_LOGPROB
        or not peak_exceeds(samples, QUIET_PEAK)
    )


def has_gaps(transcript: Transcript, samples: Samples) -> bool:
    """Return whether a transcript with tokens leaves `MIN_GAP_S` of its 16 kHz samples (samples,) without a word."""
    return bool(transcript.tokens) and any(_gaps(Span(0.0, len(samples) / SAMPLE_RATE), transcript.tokens, MIN_GAP_S))


def may_hide_quiet_speech(transcript: Transcript, samples: Samples) -> bool:
    """Return whether a gap of a transcript has sounds far quieter than the rest of the clip that vary as speech does.

    Only call it if `has_gaps`. It takes 10 us per second of 16 kHz samples (samples,).
    """
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    levels = CREST_FACTOR * loudness_of(frames)
    faint = FAINT_RATIO * float(levels.max(initial=0))
    for gap in _gaps(Span(0.0, len(samples) / SAMPLE_RATE), transcript.tokens, MIN_GAP_S):
        first, last = round((gap.start_s + TOLERANCE_S) / FRAME_S), round((gap.end_s - TOLERANCE_S) / FRAME_S)
        if _varies_like_speech(levels[first:last], faint):
            return True
    return False


def _varies_like_speech(levels: NDArray[np.float32], faint: float) -> bool:
    """Return whether the levels of frames (frames,) that are below `faint` rise and fall as those of speech do."""
    quiet = np.sort(levels[levels < faint])
    if len(quiet) * FRAME_S < MIN_SPEECH_S:
        return False
    loud = float(quiet[-round(MIN_SPEECH_S / FRAME_S)])
    return loud > max(SILENCE_PEAK, MIN_MODULATION * float(quiet[len(quiet) // 4]))


def _gaps(stretch: Span, tokens: Sequence[Token], min_s: float) -> Iterator[Span]:
    """Yield the parts of a stretch, longer than `min_s`, without a token. Punctuation does not count: it comes late."""
    end_s = stretch.start_s
    for token in filter(_has_letters, tokens):
        if min(token.start_s, stretch.end_s) - end_s > min_s:
            yield Span(end_s, min(token.start_s, stretch.end_s))
        end_s = max(end_s, token.end_s)
    if stretch.end_s - end_s > min_s:
        yield Span(end_s, stretch.end_s)


def peak_exceeds(samples: Samples, level: float) -> bool:
    """Return whether any of the samples (samples,) has a magnitude above `level`. Stops at the first block with one."""
    return any(_peak(samples[start : start + SCAN_BLOCK]) > level for start in range(0, len(samples), SCAN_BLOCK))


def _peak(samples: Samples) -> float:
    return float(np.abs(samples).max(initial=0))


def without_short_spans(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return the detected spans that are long enough for a word."""
    return tuple(span for span in spans if span.end_s - span.start_s >= MIN_SPEECH_S)


def speech_extent(spans: Sequence[Span]) -> Span | None:
    """Return the stretch from the first to the last detected speech, or None if nobody speaks."""
    speech = without_short_spans(spans)
    return Span(speech[0].start_s, speech[-1].end_s) if speech else None


def missed_speech(transcript: Transcript, spans: Sequence[Span]) -> Iterator[Span]:
    """Yield the stretches of detected speech without words. Speech less than `MIN_GAP_S` apart is one stretch.

    If there is no text at all, the stretch reaches from the first to the last speech.
    """
    whole = speech_extent(spans)
    if whole and not transcript.text:
        yield whole
        return
    stretch: Span | None = None
    for span in without_short_spans(spans):
        if _has_words(span, transcript.tokens):
            continue
        if stretch and span.start_s - stretch.end_s < MIN_GAP_S:
            stretch = Span(stretch.start_s, span.end_s)
            continue
        if stretch:
            yield stretch
        stretch = span
    if stretch:
        yield stretch


def _has_words(span: Span, tokens: Sequence[Token]) -> bool:
    """Return whether a span of speech has words, and no gap between them."""
    return any(_is_near(token, span) for token in tokens if _has_letters(token)) and not any(
        _gaps(span, tokens, MAX_WORD_GAP_S)
    )


def _has_letters(token: Token) -> bool:
    return any(map(str.isalnum, token.piece))


def _is_near(token: Token, span: Span) -> bool:
    return span.start_s - TOLERANCE_S <= token.start_s <= span.end_s + TOLERANCE_S


def retry_clips(samples: Samples, speech: Span) -> Iterator[RetryClip]:
    """Yield the `speech` in 16 kHz samples (samples,) with each margin, padded with silence at the ends of the clip."""
    first, last = (round(time_s * SAMPLE_RATE) for time_s in speech)
    for margin_s in MARGINS_S:
        margin = round(margin_s * SAMPLE_RATE)
        start, end = first - margin, last + margin
        kept = samples[max(start, 0) : end]
        padded = np.pad(kept, (max(-start, 0), max(end - len(samples), 0)))
        _silence_loud_noise(padded[:margin][::-1], padded[margin : margin + last - first])
        _silence_loud_noise(padded[margin + last - first :], padded[margin : margin + last - first])
        yield RetryClip(padded, start / SAMPLE_RATE, len(samples) / SAMPLE_RATE)


def _silence_loud_noise(margin: Samples, speech: Samples) -> None:
    """Silence a margin from its first sound that is much louder than the speech. `margin[0]` is next to the speech."""
    loud = np.flatnonzero(np.abs(margin) > DROWNING_RATIO * _peak(speech))
    if len(loud):
        margin[loud[0] :] = 0


def insert_words(transcript: Transcript, found: Transcript, stretch: Span, speech: Sequence[Span]) -> Transcript:
    """Return a transcript with the words that were found in a stretch, if they are more than it had there.

    In that case its words outside all `speech` are dropped: the model made them of noise.
    """
    if not transcript.text:
        return found
    words = list(_split_words(transcript.tokens))
    within = [word for word in words if _is_near(word[0], stretch)]
    new = list(_split_words(found.tokens))
    if len(new) <= len(within):
        return transcript
    kept = [word for word in words if word not in within and any(_is_near(word[0], span) for span in speech)]
    tokens = _in_order([*kept, *new])
    return Transcript(text_of(tokens), tokens)


def _split_words(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the tokens of each word, including the punctuation after it."""
    word: list[Token] = []
    for token in tokens:
        if word and token.piece.startswith(WORD_START):
            yield word
            word = []
        word.append(token)
    if word:
        yield word


def _in_order(words: list[list[Token]]) -> tuple[Token, ...]:
    """Return the tokens of words in order of time. Late punctuation is moved to before the next word."""
    words = sorted(words, key=lambda word: word[0].start_s)
    limits_s = [*(word[0].start_s for word in words[1:]), math.inf]
    return tuple(
        token._replace(start_s=min(token.start_s, limit_s), end_s=min(token.end_s, limit_s))
        for word, limit_s in zip(words, limits_s, strict=True)
        for token in word
    )
