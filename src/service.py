"""What the transports call: one upload in, one transcript out."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from src.asr.model import FRAME_SECONDS
from src.asr.transcript import Transcript
from src.audio.decode import SAMPLE_RATE, PcmFormat, decode
from src.scheduling.jobs import Kind, Priority
from src.scheduling.scheduler import Admission, Scheduler
from src.settings import Settings


@dataclass(frozen=True, slots=True)
class Upload:
    """The audio of one request as it came: a media file, or headerless samples in the format `pcm`."""

    data: bytes
    pcm: PcmFormat | None = None
    priority: Priority = Priority.NORMAL


@dataclass(slots=True)
class Measurements:
    """What is known about a request so far, for its metrics line; times in seconds, None for what it never reached."""

    audio_len_s: float | None = None
    duration_preprocess_s: float | None = None
    duration_inference_s: float | None = None
    queue_wait_s: float | None = None
    lane: int | None = None
    batch_size: int | None = None


class TranscriptionService:
    """Decodes uploads beside the event loop and has their clips transcribed.

    Args:
        settings: the limits.
        scheduler: where clips go.
        decoders: threads for decoding audio; the libraries that do the work release the interpreter.
    """

    def __init__(self, settings: Settings, scheduler: Scheduler, decoders: ThreadPoolExecutor) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._decoders = decoders

    async def transcribe(self, admission: Admission, upload: Upload, measured: Measurements) -> Transcript:
        """Return the transcript of `upload`, and note in `measured` what it took.

        Raises:
            EmptyAudio, InvalidAudio, AudioTooLong: the audio cannot be used.
            QueueFull, QueueTimeout, TranscriptionFailed: as `Scheduler.transcribe`.
        """
        started = time.monotonic()
        decoding = partial(decode, upload.data, max_seconds=self._settings.max_audio_seconds, pcm=upload.pcm)
        samples = await asyncio.get_running_loop().run_in_executor(self._decoders, decoding)
        measured.duration_preprocess_s = time.monotonic() - started
        measured.audio_len_s = len(samples) / SAMPLE_RATE
        if not _can_hold_speech(samples):
            return Transcript("")
        outcome = await self._scheduler.transcribe(admission, samples, Kind.UPLOAD, upload.priority)
        measured.queue_wait_s = outcome.queue_wait_s
        measured.duration_inference_s = outcome.inference_s
        measured.lane = outcome.lane
        measured.batch_size = outcome.batch_size
        return outcome.transcript


def _can_hold_speech(samples: NDArray[np.float32]) -> bool:
    """Whether a clip is worth the model's time: at least one encoder frame long, and not digital silence throughout."""
    return len(samples) >= FRAME_SECONDS * SAMPLE_RATE and bool(samples.any())
