"""What the transports call: one upload or recording in, its text out as it comes.

Short audio is one clip for the model. Longer audio is cut at pauses into chunks, which are decoded from the file,
transcribed and merged a few at a time, so that hours of it take little memory and leave room for others.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from src.audio.chunking import Chunk, split
from src.audio.decode import BLOCK_SAMPLES, PcmFormat, decode_blocks, plain_pcm, scale_if_short
from src.audio.microbatch import MicroBatcher
from src.audio.probe import PlainPcm
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.sandbox import Decoding, Sandbox
from src.audio.vad import Detection, Span, SpeechDetector
from src.engine.frames import FRAME_SECONDS
from src.memory.budget import Reservation
from src.memory.budget_queue import BudgetQueue
from src.memory.plan import AUDIO_BYTES_PER_S
from src.metrics.trace import Measurements
from src.scheduling.jobs import Kind, Priority
from src.scheduling.scheduler import Admission, Scheduler
from src.settings import Settings
from src.text.merge import Merger, TranscriptDelta, join_deltas
from src.text.transcript import Transcript
from src.transcription.vad_fallback import (
    MIN_SPEECH_S,
    has_gaps,
    insert_words,
    louder_than,
    may_hide_quiet_speech,
    missed_speech,
    needs_vad_check,
    retry_clips,
    without_short_spans,
)

CHUNKS_AHEAD = 2
"""Chunks of one file that are with the scheduler at a time: one to run and one to follow it."""
READ_AHEAD_S = 600.0
"""Audio that is decoded, 38 MB of it, before the first of it is transcribed."""
MIN_BYTES_PER_S = 1_000
"""Of a media file; codecs take less for a second only where they are made for the narrowest lines."""
MIN_EXPECTED_S = 10.0

SHORT_S = 120.0
"""Whether a clip of at most this is `may_hide_quiet_speech` is found out in the event loop, in a millisecond."""
STRETCHES = 4
"""Of a clip, so many stretches of speech without words are tried again."""


@dataclass(frozen=True)
class Upload:
    """The audio of one request as it came: a media file, or headerless samples in the format `pcm`."""

    data: bytes
    pcm: PcmFormat | None = None

    @cached_property
    def plain(self) -> PlainPcm | None:
        """Its samples, where they only need scaling; None where a library has to decode them."""
        return plain_pcm(self.data, self.pcm)


@dataclass(frozen=True, eq=False, slots=True)
class ItemAudio:
    """Audio that somebody has just spoken, decoded already; it overtakes uploads."""

    samples: Samples
    """(samples,) float32 at 16 kHz."""


AudioSource = Upload | ItemAudio


@dataclass(slots=True)
class _Request:
    """One request on its way through the service."""

    admission: Admission
    measured: Measurements
    priority: Priority
    keywords: tuple[str, ...]
    kind: Kind


class _AudioReservation:
    """The memory of one upload's decoded audio: asked for before it is decoded, given back as it is transcribed.

    Audio is counted in the thread that decodes it and given back in the event loop, never at the same time.

    Args:
        room: where it is asked for.
        held: what has been granted.
        most_s: audio in seconds beyond which no more is in memory at a time.
    """

    def __init__(self, room: BudgetQueue, held: Reservation, most_s: float) -> None:
        self._room = room
        self._held = held
        self._most_s = most_s
        self._decoded_s = 0.0
        self._is_whole = False

    def counted(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """Pass decoded blocks on.

        Raises:
            QueueFull: they are more than was expected, and there is no room for that.
        """
        for block in blocks:
            self._decoded_s += len(block) / SAMPLE_RATE
            self._grow(_bytes_of(min(self._most_s, self._decoded_s)))
            yield block
        self._is_whole = True

    def give_back(self, until_s: float) -> None:
        """Note that the audio before `until_s` is done with; before the end is decoded, more takes its place."""
        if self._is_whole:
            self._room.shrink(self._held, _bytes_of(max(0.0, self._decoded_s - until_s)))

    def _grow(self, to_bytes: int) -> None:
        if to_bytes <= self._held.bytes:
            return
        ample = min(max(to_bytes, 2 * self._held.bytes), _bytes_of(self._most_s))  # so that it is asked for rarely
        if not self._held.resize(ample) and not self._held.resize(to_bytes):
            raise self._room.new_error()


def _bytes_of(audio_s: float) -> int:
    return round(audio_s * AUDIO_BYTES_PER_S)


class _ChunkReader:
    """The chunks of a source, decoded as they are asked for.

    Args:
        chunks: decodes and cuts.
        threads: where that is done; None where it takes no longer than the way there, which is 0.1 ms.
        measured: gets the time that it takes.
        decoding: what a decode worker does, if one is needed.
        room: waits for room for that worker, and holds it.
    """

    def __init__(
        self,
        chunks: Iterator[Chunk],
        threads: Executor | None,
        measured: Measurements,
        decoding: Decoding | None = None,
        room: AbstractAsyncContextManager[Reservation] | None = None,
    ) -> None:
        self._chunks = chunks
        self._threads = threads
        self._measured = measured
        self._decoding = decoding
        self._room = room
        self._held = AsyncExitStack()

    async def next(self, count: int) -> list[Chunk]:
        """Return the next so many chunks, fewer at the end.

        Raises:
            DecoderUnavailable: there is no room for the worker in time.
            Exception: as decoding does.
        """
        started = time.monotonic()
        try:
            if self._room is not None:
                room, self._room = self._room, None
                await self._held.enter_async_context(room)
            coming = islice(self._chunks, count)
            if self._threads is None:
                chunks = list(coming)
            else:
                chunks = await asyncio.get_running_loop().run_in_executor(self._threads, list, coming)
        finally:
            self._measured.add_preprocessing(time.monotonic() - started)
        if len(chunks) < count:
            await self._held.aclose()
        return chunks

    async def aclose(self) -> None:
        """End the worker, and give back its room."""
        if self._decoding:
            self._decoding.cancel()
        await self._held.aclose()


class TranscriptionService:
    """Decodes uploads beside the event loop and has their clips transcribed.

    Args:
        settings: the limits.
        scheduler: where clips go.
        detector: tells speech from silence.
        sandbox: decodes media files in processes of their own.
        room: for the decoded audio of uploads.
        workers: threads for what is computed here; the libraries that do it release the interpreter.
        waiters: threads that wait for decode workers; as many as there may be of these.
    """

    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        detector: SpeechDetector,
        sandbox: Sandbox,
        room: BudgetQueue,
        workers: Executor,
        waiters: Executor,
    ) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._detector = detector
        self._sandbox = sandbox
        self._room = room
        self._workers = workers
        self._waiters = waiters
        self._microbatcher = MicroBatcher(detector, workers)

    async def transcribe(
        self,
        admission: Admission,
        source: AudioSource,
        measured: Measurements,
        *,
        priority: Priority = Priority.NORMAL,
        keywords: tuple[str, ...] = (),
    ) -> Transcript:
        """Return the transcript of `source`; arguments and errors are those of `stream`."""
        stream = self.stream(admission, source, measured, priority=priority, keywords=keywords)
        async with aclosing(stream):
            return join_deltas([delta async for delta in stream])

    async def stream(
        self,
        admission: Admission,
        source: AudioSource,
        measured: Measurements,
        *,
        priority: Priority = Priority.NORMAL,
        keywords: tuple[str, ...] = (),
    ) -> AsyncGenerator[TranscriptDelta, None]:
        """Yield the transcript of `source` in pieces as they become final, and note in `measured` what it took.

        Raises:
            EmptyAudio, InvalidAudio, AudioTooLong: the audio cannot be used.
            DecoderUnavailable: there is no process to decode it, or no room for one within the time limit.
            QueueFull: there is no memory for the decoded audio of an upload, nor was within the queue's time limit.
            QueueFull, QueueTimeout, TranscriptionFailed: as `Scheduler.transcribe`.
        """
        admission.body_received()
        kind = Kind.REALTIME if isinstance(source, ItemAudio) else Kind.UPLOAD
        request = _Request(admission, measured, priority, keywords, kind)
        async with self._room.reserved(_bytes_of(self._expected_s(source))) as held:
            deltas = self._deltas(request, source, _AudioReservation(self._room, held, self._most_s))
            async with aclosing(deltas):
                async for delta in deltas:
                    yield delta

    @property
    def _most_s(self) -> float:
        """How much audio of one upload is in memory at most, in seconds."""
        chunks_s = (2 * CHUNKS_AHEAD) * self._settings.chunk_seconds
        return min(self._settings.max_audio_seconds, max(READ_AHEAD_S, chunks_s)) + MIN_EXPECTED_S

    def _expected_s(self, source: AudioSource) -> float:
        """Return for how much audio of an upload to ask for room before it is decoded, in seconds."""
        if isinstance(source, ItemAudio):
            return 0.0  # it is in memory, and counted there
        plain = source.plain
        bytes_per_s = 2 * plain.channels * plain.rate if plain else MIN_BYTES_PER_S
        return min(self._most_s, MIN_EXPECTED_S + len(source.data) / bytes_per_s)

    async def _deltas(
        self, request: _Request, source: AudioSource, reservation: _AudioReservation
    ) -> AsyncGenerator[TranscriptDelta, None]:
        merger = Merger()
        pending: deque[tuple[Chunk, asyncio.Task[Transcript]]] = deque()
        async with aclosing(self._reader(source, request.measured, reservation)) as reader:
            try:
                coming = deque(await reader.next(2))
                reservation.give_back(0.0)
                if len(coming) > 1 and request.kind is Kind.UPLOAD:
                    request.kind = Kind.CHUNK
                while coming or pending:
                    if coming and len(pending) < CHUNKS_AHEAD:
                        chunk = coming.popleft()
                        pending.append((chunk, asyncio.create_task(self._transcribe_clip(request, chunk.samples))))
                        if coming:
                            coming.extend(await reader.next(1))
                        continue
                    done, task = pending[0]
                    delta = merger.add(done, await task)
                    pending.popleft()
                    reservation.give_back(done.to_s)
                    yield delta
                yield merger.finish()
            finally:
                tasks = [task for _, task in pending]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _reader(self, source: AudioSource, measured: Measurements, reservation: _AudioReservation) -> _ChunkReader:
        chunk_s, limit_s = self._settings.chunk_seconds, self._settings.max_audio_seconds
        if isinstance(source, ItemAudio):
            threads = None if len(source.samples) <= chunk_s * SAMPLE_RATE else self._workers
            return _ChunkReader(self._chunks(self._blocks(source.samples), measured), threads, measured)
        samples = scale_if_short(source.plain, min(chunk_s, limit_s))
        if samples is not None:
            return _ChunkReader(self._chunks(reservation.counted([samples]), measured), None, measured)
        if source.data and source.plain is None:
            decoding = self._sandbox.decode(source.data, max_seconds=limit_s)
            chunks = self._chunks(reservation.counted(decoding.blocks()), measured)
            return _ChunkReader(chunks, self._waiters, measured, decoding, self._sandbox.room(source.data))
        blocks = decode_blocks(source.data, max_seconds=limit_s, pcm=source.pcm)
        return _ChunkReader(self._chunks(reservation.counted(blocks), measured), self._workers, measured)

    def _chunks(self, blocks: Iterable[Samples], measured: Measurements) -> Iterator[Chunk]:
        """Decode and cut, as far as the caller has asked for chunks; what needs no cut meets no detector."""
        counted = _measured(_read_ahead(blocks, READ_AHEAD_S), measured)
        yield from split(counted, self._detector, chunk_seconds=self._settings.chunk_seconds)

    def _blocks(self, samples: Samples) -> Iterable[Samples]:
        """Return a recording as it comes from a file, so that where it is cut does not depend on how it came.

        What needs no cut is one block, which is never copied.
        """
        size = BLOCK_SAMPLES if len(samples) > self._settings.chunk_seconds * SAMPLE_RATE else max(1, len(samples))
        return (samples[at : at + size] for at in range(0, len(samples), size))

    async def _transcribe_clip(self, request: _Request, samples: Samples) -> Transcript:
        """Have a clip transcribed; where that is doubtful, let the detector judge, and try the speech alone."""
        if not _can_hold_speech(samples):
            return Transcript("")
        transcript = await self._submit(request, samples)
        if not needs_vad_check(transcript, samples) and not _may_hide_quiet_speech(transcript, samples):
            return transcript
        spans = await self._microbatcher.submit(self._speech_in(transcript, samples))
        if not spans:
            return transcript if spans is None else Transcript("")
        for stretch in islice(missed_speech(transcript, spans), STRETCHES):
            for retry in retry_clips(samples, stretch):
                found = retry.in_clip_time(await self._submit(request, retry.samples))
                amendable, transcript = transcript, insert_words(transcript, found, stretch, spans)
                if amendable.text or transcript.text:
                    break
        return transcript

    def _speech_in(self, transcript: Transcript, samples: Samples) -> Detection[tuple[Span, ...] | None]:
        """Find out where somebody speaks in a clip; None where its transcript has no need to be compared with that."""
        if needs_vad_check(transcript, samples):
            if transcript.text and not has_gaps(transcript, samples):  # it has all words, if somebody speaks at all
                speaks = yield from self._detector.has_speech(samples, MIN_SPEECH_S)
                return None if speaks else ()
            return without_short_spans((yield from self._detector.spans(samples)))
        if may_hide_quiet_speech(transcript, samples):
            return without_short_spans((yield from self._detector.spans(samples))) or None
        return None

    async def _submit(self, request: _Request, samples: Samples) -> Transcript:
        outcome = await self._scheduler.transcribe(
            request.admission, samples, kind=request.kind, priority=request.priority, keywords=request.keywords
        )
        request.measured.add_clip(
            queue_wait_s=outcome.queue_wait_s,
            inference_s=outcome.inference_s,
            lane=outcome.lane,
            batch_size=outcome.batch_size,
        )
        return outcome.result


def _measured(blocks: Iterable[Samples], measured: Measurements) -> Iterator[Samples]:
    """Pass blocks on, and count what has passed."""
    for block in blocks:
        measured.add_audio(len(block) / SAMPLE_RATE)
        yield block


def _read_ahead(blocks: Iterable[Samples], seconds: float) -> Iterator[Samples]:
    """Read so much before passing anything on: a file that turns out too long by then has cost no inference."""
    blocks = iter(blocks)
    held: list[Samples] = []
    held_s = 0.0
    for block in blocks:
        held.append(block)
        held_s += len(block) / SAMPLE_RATE
        if held_s >= seconds:
            break
    held.reverse()
    while held:
        yield held.pop()
    yield from blocks


def _may_hide_quiet_speech(transcript: Transcript, samples: Samples) -> bool:
    """Whether a clip is `may_hide_quiet_speech`; a long one may be where it has gaps, and a thread has to look."""
    is_short = len(samples) <= SHORT_S * SAMPLE_RATE
    return has_gaps(transcript, samples) and (not is_short or may_hide_quiet_speech(transcript, samples))


def _can_hold_speech(samples: Samples) -> bool:
    """Whether a clip is worth the model's time: at least one encoder frame long, and not digital silence throughout."""
    return len(samples) >= FRAME_SECONDS * SAMPLE_RATE and louder_than(0.0, samples)
