"""The work of a realtime session for the model."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from src.api.audio_clock import AudioClock
from src.api.dependencies import Services
from src.api.item_traces import ItemTraces
from src.api.session_calls import SessionCalls
from src.engine.model import StepResult
from src.errors import ServiceError
from src.metrics.trace import Measurements
from src.realtime.items import Item
from src.realtime.outputs import Cancelled, ItemWork, StepWork, Work, WorkOutcome
from src.realtime.session import Session
from src.scheduling.jobs import Priority
from src.text.transcript import Transcript
from src.transcription.audio_source import ItemAudio
from src.transcription.recording_speakers import RecordingSpeakers
from src.transcription.speaker_service import SessionSpeakers

log = logging.getLogger("src.access")

LONG_TEXT_TOKENS = 1000
"""From this many tokens on, live text is assembled in a thread, as final text always is. With times and log
probabilities, hours of it take seconds."""


class SessionWorker:
    """Runs the work that a session wants, one piece after the other.

    Items are transcribed in the task of `run`. A step of live text, of which there are hundreds in a second, wakes no
    task: it ends in a callback, and the next one begins there, unless somebody else is calling the session or the
    speech detector may be asked about its text.

    Args:
        services: what transcribes.
        session: the session.
        calls: through which it is called.
        traces: the traces of its items.
        clock: knows when its audio was due.
        client: whose it is, for the order of steps.
        on_finished: called after each piece of work.
    """

    def __init__(
        self,
        services: Services,
        session: Session,
        calls: SessionCalls,
        traces: ItemTraces,
        clock: AudioClock,
        client: str,
        on_finished: Callable[[], None],
    ) -> None:
        self._services = services
        self._session = session
        self._calls = calls
        self._traces = traces
        self._clock = clock
        self._client = client
        self._on_finished = on_finished
        self._woken = asyncio.Event()
        self._work: Work | None = None  # in flight
        self._step: asyncio.Future[StepResult] | None = None  # of the step in flight
        self._outcome: WorkOutcome | None = None  # of a step that could not be finished at once
        self._error: Exception | None = None  # that ends `run`
        self._has_ended = False
        self._speakers: SessionSpeakers | None = None  # once an item asks for them

    def wake(self) -> None:
        """Note that the session may have work."""
        self._woken.set()

    def go_on(self) -> None:
        """Begin the next work. To be called while nobody else calls the session."""
        if self._work is not None or self._has_ended:
            return
        self._work = self._session.next_work(self._services.scheduler.step_s)
        if isinstance(self._work, StepWork):
            self._begin_step(self._work)
        elif self._work is not None:
            self._woken.set()

    def cancel_step(self) -> None:
        """Cancel the step in flight, if there is one."""
        if self._step:
            self._step.cancel()

    async def run(self) -> NoReturn:
        """Run the session's work until cancelled; raise what it raises beyond errors of the service."""
        try:
            while True:
                async with self._calls.lock:
                    self.go_on()
                if isinstance(self._work, ItemWork):
                    await self._finish(await self._outcome_of(self._work.item))
                    continue
                await self._woken.wait()
                self._woken.clear()
                if self._error is not None:
                    raise self._error
                if self._outcome is not None:
                    await self._finish(self._outcome)
        finally:
            self._has_ended = True
            self.cancel_step()
            if self._speakers:
                self._speakers.stop()

    async def _finish(self, outcome: WorkOutcome) -> None:
        """Pass the outcome of the work in flight to the session, once nobody else calls it."""
        work, self._outcome = self._work, None
        call = self._calls.in_thread if self._takes_long(outcome) else self._calls.now
        await call(self._session.finish, work, outcome)
        self._work = None
        self._on_finished()

    def _takes_long(self, outcome: WorkOutcome) -> bool:
        """Return whether it may take long to finish the work in flight: to assemble its text, or to check that."""
        if not isinstance(self._work, StepWork) or self._work.live.token_count > LONG_TEXT_TOKENS:
            return True
        return self._session.asks_detector(self._work, outcome)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _begin_step(self, work: StepWork) -> None:
        now = asyncio.get_running_loop().time()
        due_at = self._clock.due_at(self._session.received_s, work.beyond_s, now)
        try:
            self._step = self._services.scheduler.advance(work.step, client=self._client, due_at=due_at)
        except Exception as error:
            self._outcome = self._service_error(error)
            self._woken.set()
        else:
            self._step.add_done_callback(partial(self._end_step, work))

    def _end_step(self, work: StepWork, step: "asyncio.Future[StepResult]") -> None:
        """Finish a step and begin the next one; leave that to `run` if somebody else is calling the session."""
        self._step = None
        outcome = self._outcome_of_step(step)
        if self._has_ended:
            return
        if self._calls.lock.locked() or self._takes_long(outcome):
            self._outcome = outcome
            self._woken.set()
            return
        self._work = None
        try:
            self._calls.deliver(self._session.finish(work, outcome))
            self._on_finished()
            self.go_on()
        except Exception as error:
            self._error = error
            self._woken.set()

    def _outcome_of_step(self, step: "asyncio.Future[StepResult]") -> StepResult | ServiceError | Cancelled:
        if step.cancelled():
            return Cancelled()
        error = step.exception()
        return step.result() if error is None else self._service_error(error)

    # -- items ---------------------------------------------------------------------------------------------------------

    async def _outcome_of(self, item: Item) -> WorkOutcome:
        try:
            return await self._transcribe(item)
        except Exception as error:
            return self._service_error(error)

    def _service_error(self, error: BaseException) -> ServiceError:
        """Return why work has failed, as the client may know it."""
        if isinstance(error, ServiceError):
            return error
        log.error("%s: work failed", self._calls.session_id, exc_info=error)
        return ServiceError("The server met an unexpected error. Other items are not affected.")

    async def _transcribe(self, item: Item) -> Transcript:
        measured = self._traces.measured(item.item_id)
        speakers = self._speakers_of(item, measured)
        async with self._services.scheduler.admit(is_owed=True) as admission:
            transcript = await self._services.transcription.transcribe(
                admission,
                ItemAudio(item.samples),
                measured,
                priority=Priority.HIGH,  # its speaker waits for it; live text can wait
                keywords=item.config.keywords,
                speakers=speakers,
            )
        item.label = speakers.label_next if speakers else None
        return transcript

    def _speakers_of(self, item: Item, measured: Measurements) -> RecordingSpeakers | None:
        if not item.tells_speakers:
            return None
        self._speakers = self._speakers or self._services.speakers.of_session()
        return self._speakers.of_item(item.audio_s, measured)
