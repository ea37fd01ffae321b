"""The diarizer that works at once: the voice encoder, and clustering."""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from src.audio.samples import Samples
from src.audio.vad import SpeechDetector, run_detection
from src.diarization.clusters import Labels, Voices, means_of
from src.diarization.diarizer import KEPT_S, SpeakerOptions
from src.diarization.embedder import Embedder
from src.diarization.speaker_names import SpeakerNames
from src.diarization.speakers import Speakers, known_speakers, learned
from src.diarization.voice_windows import NO_WINDOWS, VoiceWindows, joined, listen
from src.diarization.word_speakers import speakers_of
from src.engine.voice_encoder import VoiceEncoder, weights_path
from src.errors import InvalidRequest
from src.text.words import Word


class VoiceDiarizer:
    """Tells speakers apart by what their voices sound like; see `Diarizer`.

    Args:
        detector: finds speech.
        load: returns the voice encoder.
    """

    def __init__(self, detector: SpeechDetector, load: Callable[[], VoiceEncoder]) -> None:
        self._detector = detector
        self._embedder = Embedder(load)

    def check(self) -> None:
        """See `Diarizer.check`."""
        weights_path()

    def load(self) -> None:
        """See `Diarizer.load`."""
        self._embedder.network()

    def recording(self, options: SpeakerOptions) -> "VoiceDiarization":
        """See `Diarizer.recording`."""
        return VoiceDiarization(options, self._listen)

    def _listen(self, samples: Samples, is_stopped: Callable[[], bool]) -> VoiceWindows:
        spans = () if is_stopped() else run_detection(self._detector.spans(samples))
        return listen(samples, spans, self._embedder.features, self._embedder.embed, is_stopped)


class VoiceDiarization:
    """The speakers of a recording or session by their voices; see `Diarization`.

    Args:
        options: what is known of the speakers.
        listen: returns the windows of 16 kHz samples (samples,), as far as it is not stopped.
    """

    def __init__(self, options: SpeakerOptions, listen: Callable[[Samples, Callable[[], bool]], VoiceWindows]) -> None:
        self._options = options
        self._listen = listen
        self._stopped = threading.Event()
        self._speakers: Speakers | None = None
        self._parts: list[VoiceWindows] = []
        self._recent = NO_WINDOWS
        self._names = SpeakerNames([speaker.name for speaker in options.known])
        self._last = len(options.known)  # a new speaker, until somebody is heard

    def add(self, samples: Samples, start_s: float) -> None:
        """See `Diarization.add`."""
        if self._speakers is None:
            self._speakers = self._known()
        self._parts.append(self._listen(samples, self._stopped.is_set).later(start_s))

    def label(self, words: Sequence[Word]) -> tuple[str, ...]:
        """See `Diarization.label`."""
        windows = joined([NO_WINDOWS, *self._parts])
        if self._speakers is None or not len(windows) or self._stopped.is_set():
            return self._named(np.full(len(words), self._last))
        options = self._options
        speakers = learned(self._speakers, windows, count=options.num_speakers, max_count=options.max_speakers)
        return self._named(speakers_of(words, windows, speakers.directions))

    def label_next(self, words: Sequence[Word]) -> tuple[str, ...]:
        """See `Diarization.label_next`."""
        heard = joined([NO_WINDOWS, *self._parts])
        self._parts = []
        if self._speakers is not None and len(heard):
            max_count = self._options.num_speakers or self._options.max_speakers
            self._speakers = learned(self._speakers, heard, count=None, max_count=max_count)
        self._recent = joined([self._recent, heard])
        if self._speakers is None or not len(self._recent):
            return self._named(np.full(len(words), self._last))
        labels = speakers_of(words, self._recent, self._speakers.directions)
        if words:  # the audio of those that follow may have been heard long ago, as a stream is heard ahead of its text
            self._last = int(labels[-1])
            self._recent = self._recent.part(self._recent.ends_s > words[-1].end_s - KEPT_S)
        return self._named(labels)

    def stop(self) -> None:
        """See `Diarization.stop`."""
        self._stopped.set()

    def _known(self) -> Speakers:
        """Return the speakers whose voices are known.

        Raises:
            InvalidRequest: one of them says nothing.
        """
        voices: list[Voices] = []
        for number, speaker in enumerate(self._options.known):
            windows = self._listen(speaker.samples, lambda: False)
            if not len(windows):
                raise InvalidRequest(
                    f"There is no speech in the audio of known speaker {number + 1}, {speaker.name!r}. Send 2 to 10 s "
                    "in which this speaker talks.",
                    param="known_speaker_references",
                )
            heard = Voices(windows.embeddings, windows.speech_s)
            voices.append(means_of(heard, np.zeros(len(heard), np.int64), 1))
        return known_speakers(voices)

    def _named(self, speakers: Labels) -> tuple[str, ...]:
        return tuple(self._names.name_of(speaker) for speaker in speakers.tolist())
