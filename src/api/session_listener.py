"""The audio of a realtime session, from its arrival to the turns found in it."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from src.api.session_calls import SessionCalls
from src.realtime.audio_batcher import AudioBatcher
from src.realtime.outputs import Output
from src.realtime.session import Session

RECHECK_S = 0.24
"""Whether audio is due is asked again once there is this much more of it, as steps may have become shorter."""
MAX_WAITING_S = 2.0
"""Once this much audio waits, it is decoded before more is read. Who sends an hour at once is not served in rounds."""


class SessionListener:
    """Has the audio of a session decoded, and turns detected in it, when that is due.

    It has no task that wakes up: it goes on when audio comes, and in callbacks of the rounds.

    Args:
        session: the session.
        calls: through which it is called.
        batcher: decodes the audio of all sessions.
        step_s: returns the shortest step of live text, in seconds.
        on_heard: called after each decoding, while nobody else calls the session.
    """

    def __init__(
        self,
        session: Session,
        calls: SessionCalls,
        batcher: AudioBatcher,
        step_s: Callable[[], float],
        on_heard: Callable[[], None],
    ) -> None:
        self._session = session
        self._calls = calls
        self._batcher = batcher
        self._step_s = step_s
        self._on_heard = on_heard
        self._round: asyncio.Future[list[Output]] | None = None  # until its audio is decoded and there is room
        self._due_s = 0.0  # whether audio is due is asked once this much waits
        self._woken = asyncio.Event()
        self._error: BaseException | None = None  # that ends `run`
        self._has_ended = False

    @property
    def has_room(self) -> bool:
        """Whether more audio may be appended before `audio_came` is awaited."""
        return self._session.undecoded_s < MAX_WAITING_S

    async def audio_came(self) -> None:
        """Note that audio was appended. Return once little enough waits."""
        if self.has_room:
            self.note_audio()
            return
        await self._calls.in_thread(self._session.process_audio)
        self._report()

    def note_audio(self) -> None:
        """Note that audio was appended."""
        if self._round is None and self._session.undecoded_s >= self._due_s:
            self.check()

    def check(self) -> None:
        """Have the waiting audio decoded if it is due. To be called when what a session waits for may have changed."""
        if self._round is not None:
            return
        step_s = self._step_s()
        if self._session.audio_due(step_s):
            self._round = self._batcher.submit(self._session, self._calls.lock)
            self._round.add_done_callback(self._end_round)
        else:
            self._due_s = min(self._session.due_audio_s(step_s), self._session.undecoded_s + RECHECK_S)

    async def run(self) -> NoReturn:
        """Make room in a full buffer when that is needed, until cancelled. Raise the error of a round that fails."""
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                if self._error is not None:
                    raise self._error
                await self._calls.in_thread(self._session.make_room)
                self._round = None
                self.check()
                self._report()
        finally:
            self._has_ended = True
            if self._round is not None:
                self._round.cancel()

    def _end_round(self, ended: "asyncio.Future[list[Output]]") -> None:
        """Go on after a round, whose lock is still held."""
        try:
            outputs = ended.result()
            if self._has_ended:
                return
            self._calls.deliver(outputs)
            if self._session.needs_room:  # not in the round, where all other sessions would wait for it
                self._woken.set()
                return
            self._round = None
            self.check()
            self._on_heard()
        except (Exception, asyncio.CancelledError) as error:
            self._error = error
            self._woken.set()

    def _report(self) -> None:
        """Call `on_heard`, unless somebody calls the session: then it goes on after that."""
        if not self._calls.lock.locked():
            self._on_heard()
