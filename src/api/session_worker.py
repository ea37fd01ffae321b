"""The work of a realtime session for the model."""

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn

from src.api.audio_clock import AudioClock
from src.api.dependencies import Services
from src.api.item_traces import ItemTraces
from src.api.session_calls import SessionCalls
from src.engine.model import StepResult
from src.errors import ServiceError
from src.realtime.items import Item
from src.realtime.outputs import Cancelled, ItemWork, StepWork, Work, WorkOutcome
from src.realtime.session import Session
from src.scheduling.jobs import Priority
from src.text.transcript import Transcript
from src.transcription.audio_source import ItemAudio

log = logging.getLogger("src.access")

LONG_TEXT_TOKENS = 1000
"""From this many tokens on, live text is assembled in a thread, as final text always is. With times and log
probabilities, hours of it take seconds."""


class SessionWorker:
    """Runs the work that a session wants, one piece after the other.

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
        self._step: asyncio.Future[StepResult] | None = None

    def wake(self) -> None:
        """Note that the session may have work."""
        self._woken.set()

    def cancel_step(self) -> None:
        """Cancel the step in flight, if there is one."""
        if self._step:
            self._step.cancel()

    async def run(self) -> NoReturn:
        """Run the session's work until cancelled."""
        while True:
            self._woken.clear()
            async with self._calls.lock:
                work = self._session.next_work(self._services.scheduler.step_s)
            if work is None:
                await self._woken.wait()
            else:
                await self._run(work)

    async def _run(self, work: Work) -> None:
        outcome = await self._outcome_of(work)
        is_long = isinstance(work, ItemWork) or work.live.token_count > LONG_TEXT_TOKENS
        await (self._calls.in_thread if is_long else self._calls.now)(self._session.finish, work, outcome)
        self._on_finished()

    async def _outcome_of(self, work: Work) -> WorkOutcome:
        try:
            return await (self._transcribe(work.item) if isinstance(work, ItemWork) else self._decode(work))
        except ServiceError as error:
            return error
        except Exception:
            log.exception("%s: work failed", self._calls.session_id)
            return ServiceError("The server met an unexpected error. Other items are not affected.")

    async def _transcribe(self, item: Item) -> Transcript:
        async with self._services.scheduler.admit() as admission:
            return await self._services.transcription.transcribe(
                admission,
                ItemAudio(item.samples),
                self._traces.measured(item.item_id),
                priority=Priority.HIGH,  # its speaker waits for it; live text can wait
                keywords=item.config.keywords,
            )

    async def _decode(self, work: StepWork) -> StepResult | Cancelled:
        """Return the result of a step, unless `cancel_step` comes first."""
        now = asyncio.get_running_loop().time()
        due_at = self._clock.due_at(self._session.received_s, work.beyond_s, now)
        self._step = self._services.scheduler.advance(work.step, client=self._client, due_at=due_at)
        try:
            await asyncio.wait({self._step})
            return Cancelled() if self._step.cancelled() else self._step.result()
        finally:
            self._step.cancel()
            self._step = None
