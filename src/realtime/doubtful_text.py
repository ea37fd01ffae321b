"""Live text that may be the model's invention is held back until the speech detector hears speech.

Of tones, music and faint noise the model may make a few words. A final text is then empty, as the detector decides
(`src.transcription.vad_fallback`). Deltas cannot be taken back, so live text waits. The detector is asked once for most
utterances, about the last second or two; what is sure, or as long as no invention, does not need it.
"""

from collections.abc import Callable, Sequence
from statistics import fmean

from src.audio.samples import Samples
from src.text.transcript import Token
from src.transcription.vad_fallback import MAX_FEW_WORDS, MIN_SURE_LOGPROB, QUIET_PEAK, peak_exceeds


class Doubt:
    """Whether the live text of one utterance may be shown. Once it may, it stays so."""

    def __init__(self) -> None:
        self.is_resolved = False
        """Whether it may be shown, as far as is known."""
        self._unheard = ""  # the text for which no speech was heard

    def allows(
        self, text: str, tokens: Sequence[Token], samples: Samples, hears_speech: Callable[[Samples], bool]
    ) -> bool:
        """Return whether the text after a step may be shown.

        Args:
            text: the text so far, with its hypothesis.
            tokens: its tokens, as far as they are decoded.
            samples: 16 kHz audio (samples,) with what the step has added.
            hears_speech: returns whether somebody speaks in such audio. Called only if the text is new and doubtful.
        """
        if not self.is_resolved and text.strip() and text != self._unheard:
            self.is_resolved = not is_doubtful(text, tokens, samples) or hears_speech(samples)
            self._unheard = text
        return self.is_resolved


def is_doubtful(text: str, tokens: Sequence[Token], samples: Samples) -> bool:
    """Return whether a text that is not empty may be an invention: by the same signs as a final text.

    It may be if it is short, if the model is unsure of it, or if its audio (samples,) is quiet.
    """
    if len(text.split()) <= MAX_FEW_WORDS or not tokens:
        return True
    return fmean(token.logprob for token in tokens) < MIN_SURE_LOGPROB or not peak_exceeds(samples, QUIET_PEAK)
