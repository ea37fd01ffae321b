"""The audio of a realtime session, from its arrival to the turns found in it."""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from src.api.session_calls import SessionCalls
from src.realtime.audio_batcher import AudioBatcher
from src.realtime.session import Session

MIN_AUDIO_S = 0.04
"""Whether audio is due is asked again once there is this much more of it: half a frame of the encoder."""
MAX_WAITING_S = 2.0
"""Once this much audio waits, it is decoded before more is read. Who sends an hour at once is not served in rounds."""


class SessionListener:
    """Has the audio of a session decoded, and turns detected in it, when that is due.

    Args:
        session: the session.
        calls: through which it is called.
        batcher: decodes the audio of all sessions.
        step_s: returns the shortest step of live text, in seconds.
        on_heard: called after each decoding.
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
        self._due = asyncio.Event()
        self._checked_s = 0.0  # how much audio was waiting when it was not due

    async def audio_came(self) -> None:
        """Note that audio was appended. Return once little enough waits."""
        waiting_s = self._session.undecoded_s
        if waiting_s >= MAX_WAITING_S:
            await self._calls.in_thread(self._session.process_audio)
            self._on_heard()
        elif not self._due.is_set() and not self._checked_s <= waiting_s < self._checked_s + MIN_AUDIO_S:
            self.check()

    def check(self) -> None:
        """Have the waiting audio decoded if it is due. To be called when what a session waits for may have changed."""
        if self._session.audio_due(self._step_s()):
            self._checked_s = 0.0
            self._due.set()
        else:
            self._checked_s = self._session.undecoded_s

    async def run(self) -> NoReturn:
        """Decode what is due until cancelled."""
        while True:
            await self._due.wait()
            self._calls.deliver(await self._batcher.submit(self._session, self._calls.lock))
            if self._session.needs_room:  # not in the round, where all other sessions would wait for it
                await self._calls.in_thread(self._session.make_room)
            self._due.clear()
            self.check()
            self._on_heard()
