"""Decoding uploads, each where it is best done: in the event loop, in a thread, or in a process of its own."""

from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from src.audio.decode import decode_blocks, scale_if_short
from src.audio.samples import Samples
from src.audio.sandbox import Decoding, Sandbox
from src.memory.budget import Reservation
from src.transcription.audio_source import Upload


@dataclass(frozen=True, eq=False, slots=True)
class DecodedSource:
    """An upload's audio, decoded as far as it is iterated, and what that takes."""

    blocks: Iterable[Samples]
    """16 kHz mono (samples,)."""
    pool: Executor | None
    """Threads in which they are to be iterated; None for the event loop."""
    decoding: Decoding | None = None
    """The run of a decode worker, if one is needed."""
    worker_memory: AbstractAsyncContextManager[Reservation] | None = None
    """Waits for the memory of that worker, and reserves it."""


class SourceDecoder:
    """Decodes short plain audio in the event loop, media files in sandboxed processes, and all else in threads.

    Args:
        sandbox: decodes media files in processes of their own.
        decode_pool: threads for computation.
        io_pool: threads that wait for decode workers.
    """

    def __init__(self, sandbox: Sandbox, decode_pool: Executor, io_pool: Executor) -> None:
        self._sandbox = sandbox
        self._decode_pool = decode_pool
        self._io_pool = io_pool

    def open(self, upload: Upload, *, max_s: float, short_s: float) -> DecodedSource:
        """Return the audio of an upload. Errors come while it is iterated: see `decode_blocks`.

        Args:
            upload: the upload.
            max_s: the longest audio, in seconds.
            short_s: the longest plain audio that is worth no switch to a thread.
        """
        samples = scale_if_short(upload.plain, short_s)
        if samples is not None:
            return DecodedSource([samples], None)
        if upload.data and upload.plain is None:
            decoding = self._sandbox.decode(upload.data, max_seconds=max_s)
            return DecodedSource(decoding.blocks(), self._io_pool, decoding, self._sandbox.room(upload.data))
        return DecodedSource(decode_blocks(upload.data, max_seconds=max_s, pcm=upload.pcm), self._decode_pool)
