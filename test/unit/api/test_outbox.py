"""The outbox of a WebSocket: order, and the client that does not read."""

import asyncio

import pytest

from src.api.outbox import MAX_UNSENT_CHARS, Outbox, SlowReader
from src.notifier import Notifier


class Socket:
    """A connection that takes as many messages as the test allows."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.may_send = asyncio.Semaphore(0)

    async def send(self, message: str) -> None:
        await self.may_send.acquire()
        self.sent.append(message)

    def allow(self, count: int) -> None:
        for _ in range(count):
            self.may_send.release()


@pytest.fixture
def changes():
    return Notifier()


@pytest.fixture
def outbox(changes):
    return Outbox(changes)


async def test_messages_are_sent_in_order_as_they_come(changes, outbox):
    socket = Socket()
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(outbox.send(socket.send))
        socket.allow(3)
        for messages in (["a", "b"], ["c"]):
            outbox.put(messages)
            await changes.until(lambda: outbox.is_empty)
        assert socket.sent == ["a", "b", "c"]
        sending.cancel()


async def test_a_message_is_in_the_outbox_until_it_was_sent(changes, outbox):
    socket = Socket()
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(outbox.send(socket.send))
        outbox.put(["a", "b"])
        assert not outbox.is_empty
        socket.allow(2)
        await changes.until(lambda: outbox.is_empty)
        assert socket.sent == ["a", "b"]
        sending.cancel()


async def test_a_client_that_reads_nothing_is_found_out_and_one_that_reads_is_not(changes, outbox):
    long = "x" * (MAX_UNSENT_CHARS + 1)
    outbox.put([long, long])  # what was put at once is not too much
    with pytest.raises(SlowReader):
        outbox.put(["more"])
    socket = Socket()
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(outbox.send(socket.send))
        socket.allow(3)
        await changes.until(lambda: outbox.is_empty)
        outbox.put(["more"])
        await changes.until(lambda: outbox.is_empty)
        assert socket.sent == [long, long, "more"]
        sending.cancel()


async def test_what_ends_sending_is_raised(changes, outbox):
    async def fail(message: str) -> None:
        raise ConnectionError(message)

    outbox.put(["a"])
    with pytest.raises(ConnectionError, match="a"):
        await outbox.send(fail)
