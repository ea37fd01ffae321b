"""Transcribing one clip: with the model, and with the VAD fallback if the transcript may be wrong."""

import os
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice

from src.audio.microbatch import MicroBatcher
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.vad import Detection, Span, SpeechDetector
from src.engine.frames import FRAME_SECONDS
from src.metrics.trace import Measurements
from src.scheduling.admissions import Admission
from src.scheduling.jobs import Kind, Priority
from src.scheduling.scheduler import Scheduler
from src.text.transcript import Transcript
from src.transcription.vad_fallback import (
    MIN_SPEECH_S,
    has_gaps,
    insert_words,
    may_hide_quiet_speech,
    missed_speech,
    needs_vad_check,
    peak_exceeds,
    retry_clips,
    without_short_spans,
)

SHORT_S = 120.0
"""Longest clip that the event loop searches for quiet speech, which takes a millisecond; a thread searches others."""
CORES_PER_BATCH = 4
"""CPU cores for each batch of detections that runs at a time. Beside an H100 with 16 cores, one batch at a time limited
clips of 10 s, of which a third had pauses to search, to 252 requests/s; the GPU was idle four fifths of the time."""
MAX_RETRIED_STRETCHES = 4
"""Stretches of speech without words, in one clip, that the model gets again."""


@dataclass(frozen=True, eq=False, slots=True)
class RequestContext:
    """What all clips of one request share."""

    admission: Admission
    measured: Measurements
    priority: Priority
    keywords: tuple[str, ...]
    kind: Kind


class ClipTranscriber:
    """Transcribes clips of at most a chunk.

    Args:
        scheduler: runs clips on the model.
        detector: finds speech.
        pool: threads in which the detector runs.
    """

    def __init__(self, scheduler: Scheduler, detector: SpeechDetector, pool: Executor) -> None:
        self._scheduler = scheduler
        self._detector = detector
        batches = max(1, (os.cpu_count() or 1) // CORES_PER_BATCH)
        self._microbatcher = MicroBatcher(detector, pool, batches)

    async def transcribe(self, request: RequestContext, samples: Samples) -> Transcript:
        """Return the transcript of 16 kHz mono samples (samples,).

        If the model's transcript may be wrong, the detector decides: without speech there is no text, and each stretch
        of speech without words is given to the model once more, by itself.

        Raises:
            QueueFull, QueueTimeout, OutOfMemory, TranscriptionFailed: as `Scheduler.transcribe`.
        """
        if not _can_hold_speech(samples):
            return Transcript("")
        transcript = await self._submit(request, samples)
        if not needs_vad_check(transcript, samples) and not _should_search_quiet_speech(transcript, samples):
            return transcript
        speech = await self._microbatcher.submit(self._detect_speech(transcript, samples))
        if not speech:
            return transcript if speech is None else Transcript("")
        for stretch in islice(missed_speech(transcript, speech), MAX_RETRIED_STRETCHES):
            transcript = await self._retry(request, samples, transcript, stretch, speech)
        return transcript

    async def _retry(
        self, request: RequestContext, samples: Samples, transcript: Transcript, stretch: Span, speech: tuple[Span, ...]
    ) -> Transcript:
        """Return the transcript with the words that the model finds in one stretch of `speech` by itself.

        A clip without any text gets one retry for each margin until there is text; other clips get one retry.
        """
        had_text = bool(transcript.text)
        for retry in retry_clips(samples, stretch):
            found = retry.in_clip_time(await self._submit(request, retry.samples))
            transcript = insert_words(transcript, found, stretch, speech)
            if had_text or transcript.text:
                break
        return transcript

    def _detect_speech(self, transcript: Transcript, samples: Samples) -> Detection[tuple[Span, ...] | None]:
        """Find the speech in a clip, as a detection for the microbatcher. None means that the transcript is right."""
        if needs_vad_check(transcript, samples):
            if transcript.text and not has_gaps(transcript, samples):  # no word is missing, if somebody speaks at all
                speaks = yield from self._detector.has_speech(samples, MIN_SPEECH_S)
                return None if speaks else ()
            return without_short_spans((yield from self._detector.spans(samples)))
        if may_hide_quiet_speech(transcript, samples):
            return without_short_spans((yield from self._detector.spans(samples))) or None
        return None

    async def _submit(self, request: RequestContext, samples: Samples) -> Transcript:
        outcome = await self._scheduler.transcribe(
            request.admission, samples, kind=request.kind, priority=request.priority, keywords=request.keywords
        )
        request.measured.add_clip(
            queue_wait_s=outcome.queue_wait_s,
            inference_s=outcome.inference_s,
            lane=outcome.lane,
            batch_size=outcome.batch_size,
        )
        return outcome.result


def _should_search_quiet_speech(transcript: Transcript, samples: Samples) -> bool:
    """Return whether a clip may hide quiet speech. Of a long clip only its gaps are looked at here (see `SHORT_S`)."""
    is_short = len(samples) <= SHORT_S * SAMPLE_RATE
    return has_gaps(transcript, samples) and (not is_short or may_hide_quiet_speech(transcript, samples))


def _can_hold_speech(samples: Samples) -> bool:
    """Return whether a clip is at least one encoder frame long and not digital silence throughout."""
    return len(samples) >= FRAME_SECONDS * SAMPLE_RATE and peak_exceeds(samples, 0.0)
