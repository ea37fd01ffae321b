"""One clip: what the model is asked, and when the detector decides."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import media
import numpy as np
import pytest
from fakes import HeldModel, clip

from src.audio.vad import SpeechDetector
from src.engine.model import Batch
from src.errors import TranscriptionFailed
from src.metrics.trace import Measurements
from src.scheduling.jobs import Kind, Priority
from src.scheduling.scheduler import Scheduler
from src.settings import Settings
from src.text.transcript import WORD_START, Token, Transcript
from src.transcription.clip_transcriber import ClipTranscriber, RequestContext

SPEECH = media.clip("piper-joe-1")
NOISE = np.random.default_rng(0).normal(scale=0.1, size=32_000).astype(np.float32)


def transcript(text: str, start_s: float = 0.3) -> Transcript:
    """A transcript of which the model is sure, with words of a quarter of a second."""
    starts = [start_s + 0.25 * number for number in range(len(text.split()))]
    tokens = [Token(0, WORD_START + word, at, at + 0.25, -0.01) for word, at in zip(text.split(), starts, strict=True)]
    return Transcript(text, tuple(tokens))


class Scripted(HeldModel):
    """A model that returns the given transcripts, one for each clip."""

    def __init__(self, *transcripts: Transcript) -> None:
        super().__init__(held=False)
        self.lengths_s: list[float] = []
        self._transcripts = list(transcripts)

    def transcribe(self, batch: Batch) -> list[Transcript]:
        super().transcribe(batch)
        self.lengths_s += [len(samples) / media.SAMPLE_RATE for samples in batch.audio]
        return [self._transcripts.pop(0) for _ in batch.audio]


@asynccontextmanager
async def transcribing(model: HeldModel) -> AsyncIterator[tuple[ClipTranscriber, RequestContext]]:
    scheduler = Scheduler(Settings(microbatch_window_ms=0))
    await scheduler.start(lambda: model)
    with ThreadPoolExecutor(1) as pool:
        async with scheduler.admit() as admission:
            request = RequestContext(admission, Measurements(), Priority.NORMAL, (), Kind.UPLOAD)
            yield ClipTranscriber(scheduler, SpeechDetector(), pool), request
    await scheduler.stop(0)


async def transcribed(model: HeldModel, samples: np.ndarray) -> Transcript:
    async with transcribing(model) as (clips, request):
        return await clips.transcribe(request, samples)


@pytest.mark.parametrize("samples", [np.zeros(32_000, np.float32), np.full(1279, 0.1, np.float32)])
async def test_digital_silence_and_less_than_a_frame_never_reach_the_model(samples):
    model = HeldModel(held=False)
    assert await transcribed(model, samples) == Transcript("")
    assert model.clips == []


async def test_a_clip_is_measured():
    async with transcribing(HeldModel(held=False)) as (clips, request):
        assert (await clips.transcribe(request, clip(7))).text == "7"
    assert (request.measured.lane, request.measured.batch_size) == (0, 1)
    assert request.measured.queue_wait_s is not None
    assert request.measured.duration_inference_s is not None


async def test_a_clip_that_fails_raises_and_is_not_measured():
    async with transcribing(HeldModel(held=False)) as (clips, request):
        with pytest.raises(TranscriptionFailed):
            await clips.transcribe(request, clip(7, poison=True))
    assert request.measured == Measurements()


async def test_a_transcript_of_which_the_model_is_sure_stands():
    sure = transcript("one two three four five six")
    assert await transcribed(Scripted(sure), SPEECH) == sure
    assert await transcribed(Scripted(sure), NOISE) == sure


async def test_a_few_words_stand_where_somebody_speaks_and_go_where_nobody_does():
    few = transcript("one two")
    model = Scripted(few)
    assert await transcribed(model, SPEECH[:24_000]) == few
    assert await transcribed(Scripted(few), NOISE) == Transcript("")
    assert len(model.lengths_s) == 1


async def test_speech_without_a_text_is_tried_with_each_margin_until_it_has_one():
    words = transcript("black bicycle")
    model = Scripted(Transcript(""), Transcript(""), words)
    found = await transcribed(model, np.concatenate([np.zeros(32_000, np.float32), SPEECH]))
    assert found.text == words.text
    assert 2 < found.tokens[0].start_s < 3
    whole_s, *retried_s = model.lengths_s
    assert whole_s == pytest.approx(2 + len(SPEECH) / media.SAMPLE_RATE)
    assert retried_s[1] - retried_s[0] == pytest.approx(0.5, abs=0.01)


async def test_speech_that_stays_without_a_text_is_tried_four_times():
    model = Scripted(*[Transcript("")] * 5)
    assert await transcribed(model, SPEECH) == Transcript("")
    assert len(model.lengths_s) == 5


async def test_quiet_speech_without_words_beside_loud_speech_is_tried_once_by_itself():
    samples = np.concatenate([SPEECH, np.zeros(16_000, np.float32), SPEECH * np.float32(0.003)])
    loud, quiet = transcript("one two three four five six seven eight nine"), transcript("ten")
    model = Scripted(loud, quiet)
    found = await transcribed(model, samples)
    assert found.text == f"{loud.text} ten"
    assert found.tokens[:-1] == loud.tokens
    assert found.tokens[-1].start_s > len(SPEECH) / media.SAMPLE_RATE + 0.5
    assert len(model.lengths_s) == 2
