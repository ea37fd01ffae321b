"""When the audio of a session is decoded, and by whom."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from session_harness import Loudness, SessionHarness, append, manual_client, silence, speech, step_result
from virtual_time import in_virtual_time, virtual_loop

from src.api.session_calls import SessionCalls
from src.api.session_listener import MAX_WAITING_S, RECHECK_S, SessionListener
from src.audio.vad import SpeechDetector
from src.realtime.audio_batcher import MAX_PAUSE_S, AudioBatcher


class Listening:
    """A listener, its session and what came of the audio."""

    def __init__(self, client: SessionHarness) -> None:
        threads = ThreadPoolExecutor(1)
        self.session = client.session
        self.calls = SessionCalls("sess_1", threads, lambda outputs: None)
        self.batcher = AudioBatcher(SpeechDetector(), threads)
        self.heard = 0
        self.step_s = 0.16
        self.listener = SessionListener(self.session, self.calls, self.batcher, lambda: self.step_s, self._count)
        self._client = client

    async def append(self, seconds: float, sound: Any = speech) -> None:
        """Append audio as a connection does."""
        self._client.send_only(append(sound(seconds)))
        await self.listener.audio_came()

    def _count(self) -> None:
        self.heard += 1


@asynccontextmanager
async def listening(client: SessionHarness) -> AsyncIterator[Listening]:
    """A listener that listens."""
    each = Listening(client)
    task = asyncio.create_task(each.listener.run())
    try:
        yield each
    finally:
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_audio_waits_until_there_is_enough_for_a_step():
    async with listening(manual_client()) as each:
        waited = []
        while not each.heard:
            await each.append(0.02)
            await virtual_loop().settled()
            waited.append(each.session.undecoded_s)
        assert waited[-1] == 0
        assert waited[-2] >= 0.1
        assert each.session.next_work(0.16) is not None


@in_virtual_time
async def test_audio_that_became_due_by_another_event_is_decoded_when_it_is_checked():
    async with listening(manual_client()) as each:
        while not each.heard:
            await each.append(0.1)
            await virtual_loop().settled()
        work: Any = each.session.next_work(0.16)
        heard = each.heard
        await each.append(0.9)  # while a step is in flight, it may wait
        await asyncio.sleep(2 * MAX_PAUSE_S)
        assert each.heard == heard
        each.session.finish(work, step_result(work))
        each.listener.check()
        await asyncio.sleep(2 * MAX_PAUSE_S)
        assert each.heard > heard
        assert each.session.undecoded_s == 0


@in_virtual_time
async def test_it_notices_soon_that_steps_have_become_shorter():
    async with listening(manual_client()) as each:
        each.step_s = 0.64
        while not each.heard:
            await each.append(0.1)
            await virtual_loop().settled()
        work: Any = each.session.next_work(0.64)
        each.session.finish(work, step_result(work))
        each.listener.check()
        each.step_s, heard = 0.08, each.heard
        await asyncio.sleep(MAX_PAUSE_S)
        for _ in range(round(RECHECK_S / 0.04) + 1):
            await each.append(0.04)
        await asyncio.sleep(2 * MAX_PAUSE_S)
        assert each.heard > heard


@in_virtual_time
async def test_much_audio_at_once_is_decoded_before_more_is_read():
    async with listening(manual_client()) as each:
        await each.append(30, silence)
        assert each.session.undecoded_s == 0
        assert each.heard == 1


@in_virtual_time
async def test_it_is_decoded_in_order_also_while_the_session_is_busy():
    async with listening(manual_client()) as each:
        async with each.calls.lock:
            appending = asyncio.create_task(each.append(MAX_WAITING_S))
            await asyncio.sleep(1)
            assert not appending.done()
            assert each.session.undecoded_s == MAX_WAITING_S
        await appending
        assert each.session.undecoded_s == 0


@in_virtual_time
async def test_a_buffer_of_silence_is_emptied_after_the_round_that_has_filled_it():
    async with listening(manual_client(max_audio_s=10)) as each:
        for _ in range(60):  # more than the buffer could hold
            await each.append(0.5, silence)
            await asyncio.sleep(0.5)
        assert each.heard > 1
        assert each.session.make_room() == []
        assert each.session._input.held_s < 9.5


@in_virtual_time
async def test_an_error_of_the_detector_ends_the_listener():
    class Broken(Loudness):
        def feed(self, samples: Any) -> Any:
            raise LookupError

    each = Listening(SessionHarness(new_speech_stream=Broken))
    task = asyncio.create_task(each.listener.run())
    await each.append(1)
    with pytest.raises(LookupError):
        await task
