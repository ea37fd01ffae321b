"""The work of a session, on the scheduler and a model that runs when the test says so."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from loud_speakers import LoudDiarization
from scheduler_harness import VirtualModel, running
from session_harness import CLEAR, COMMIT, SessionHarness, append, manual_client, speech, update
from virtual_time import in_virtual_time, virtual_loop

from src.api.audio_clock import AudioClock
from src.api.item_traces import ItemTraces
from src.api.session_calls import SessionCalls
from src.api.session_worker import SessionWorker
from src.diarization.diarizer import SpeakerOptions
from src.errors import TranscriptionFailed
from src.metrics import MetricsLog
from src.realtime.outputs import CancelWork, ItemCommitted, Notice
from src.text.transcript import Transcript
from src.transcription.recording_speakers import RecordingSpeakers
from src.transcription.speaker_service import SessionSpeakers


class Finals:
    """Transcribes items as the test says."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.speakers: list[RecordingSpeakers | None] = []

    async def transcribe(
        self, admission: Any, source: Any, measured: Any, *, speakers: RecordingSpeakers | None, **named: Any
    ) -> Transcript:
        self.speakers.append(speakers)
        if speakers:
            await speakers.add(source.samples, 0.0)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Transcript(answer)


class Work:
    """A worker, the session that it works for, and the model."""

    def __init__(self, client: SessionHarness, model: VirtualModel, scheduler: Any, traces: ItemTraces) -> None:
        self.client = client
        self.model = model
        self.scheduler = scheduler
        self.finals = Finals()
        self.diarizations: list[LoudDiarization] = []
        self.delivered: list[str | Notice] = []
        self._traces = traces
        calls = SessionCalls("sess_1", ThreadPoolExecutor(1), self._deliver)
        services: Any = SimpleNamespace(scheduler=scheduler, transcription=self.finals, speakers=self)
        self.finished = 0
        self.worker = SessionWorker(services, client.session, calls, traces, AudioClock(), "me", self._count)

    def of_session(self) -> SessionSpeakers:
        """The speakers of the session."""
        self.diarizations.append(LoudDiarization(SpeakerOptions()))
        return SessionSpeakers(self.diarizations[-1], ThreadPoolExecutor(1))

    def send(self, *events: Any) -> None:
        """Send a client's events."""
        for event in events:
            self.client.send_only(event)
            outputs = self.client.session.process_audio()
            self._deliver(outputs)
        for notice in self.client.notices:
            if isinstance(notice, ItemCommitted):
                self._traces.begin(notice.item_id, notice.audio_s)
        self.client.notices.clear()
        for _ in self.client.cancelled:
            self.worker.cancel_step()
        self.worker.wake()

    def count(self, kind: str) -> int:
        """How many events of a kind the worker has caused."""
        return sum(f'"conversation.item.input_audio_transcription.{kind}"' in str(each) for each in self.delivered)

    def _count(self) -> None:
        self.finished += 1

    def _deliver(self, outputs: Any) -> None:
        self.delivered += outputs
        if any(isinstance(each, CancelWork) for each in outputs):
            self.worker.cancel_step()


@asynccontextmanager
async def working(tmp_path: Any, **options: Any) -> AsyncIterator[Work]:
    """A worker at work."""
    model = VirtualModel()
    async with running(model) as scheduler:
        work = Work(manual_client(**options), model, scheduler, ItemTraces(MetricsLog(tmp_path), "tiny", "/v1"))
        task = asyncio.create_task(work.worker.run())
        try:
            yield work
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()


@in_virtual_time
async def test_steps_run_one_after_the_other_while_audio_comes(tmp_path):
    async with working(tmp_path) as work:
        work.send(append(speech(2)))
        await work.model.next_started()
        work.send(append(speech(2)))
        await virtual_loop().settled()
        assert len(work.model.batches) == 1, "the second step needs the state of the first"
        work.model.release()
        await work.model.next_started()
        work.model.release_all()
        await virtual_loop().settled()
        assert work.count("delta") >= 1
        assert work.finished == len(work.model.batches)


@in_virtual_time
async def test_a_step_that_nobody_needs_is_cancelled_and_the_worker_goes_on(tmp_path):
    async with working(tmp_path) as work:
        work.send(append(speech(2)))
        await work.model.next_started()
        work.send(CLEAR)
        work.finals.answers.append("kept")
        work.send(append(speech(2)), COMMIT)
        await virtual_loop().settled()
        assert work.count("completed") == 1, "the item did not wait for the step"


@in_virtual_time
async def test_an_item_whose_transcription_fails_gets_the_error_and_later_ones_their_text(tmp_path):
    async with working(tmp_path, partials=False) as work:
        work.finals.answers += [TranscriptionFailed("no"), RuntimeError("a bug"), "yes"]
        work.send(*[append(speech(2)), COMMIT] * 3)
        await virtual_loop().settled()
        assert (work.count("failed"), work.count("completed")) == (2, 1)


@in_virtual_time
async def test_a_worker_that_is_ended_takes_its_step_with_it(tmp_path):
    async with working(tmp_path) as work:
        work.send(append(speech(2)))
        await work.model.next_started()
    assert work.model.batches


@in_virtual_time
async def test_a_step_says_whose_it_is_and_when_its_audio_came(tmp_path, monkeypatch):
    async with working(tmp_path) as work:
        asked, advance = [], work.scheduler.advance
        monkeypatch.setattr(work.scheduler, "advance", lambda step, **by: asked.append(by) or advance(step, **by))
        await asyncio.sleep(100)
        work.send(append(speech(30)))
        await work.model.next_started()
    [by] = asked
    assert by["client"] == "me"
    assert 70 < by["due_at"] < 90, "much audio has come after that of the step"


@in_virtual_time
async def test_a_session_that_asks_for_speakers_has_the_same_ones_in_all_items(tmp_path):
    async with working(tmp_path, partials=False) as work:
        work.finals.answers += ["one", "two", "three"]
        asked = {"audio": {"input": {"transcription": {"model": "gpt-4o-transcribe-diarize"}}}}
        work.send(append(speech(2)), COMMIT, update(asked), *[append(speech(2)), COMMIT] * 2)
        await virtual_loop().settled()
        (diarization,) = work.diarizations
        first, *others = work.finals.speakers
        assert first is None
        assert None not in others
        assert (work.count("completed"), work.count("segment")) == (3, 2)
        assert diarization.parts == [(0.0, 2.0), (3.0, 5.0)]
        assert not diarization.stopped.is_set()
    assert diarization.stopped.is_set()
