"""The file pipeline that both transports call: the audio of an upload or an item in, its transcript out, part by part.

Short audio is a single clip. Longer audio is cut at pauses into chunks. Chunks are decoded, transcribed and merged a
few at a time, so that hours of audio take little memory and leave capacity for other requests.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import replace
from typing import NamedTuple

from src.audio.blocks import BLOCK_SAMPLES
from src.audio.chunking import Chunk, split
from src.audio.samples import SAMPLE_RATE, Samples
from src.audio.sandbox import Sandbox
from src.audio.vad import SpeechDetector
from src.memory.budget_queue import BudgetQueue
from src.metrics.trace import Measurements
from src.scheduling.admissions import Admission
from src.scheduling.jobs import Kind, Priority
from src.scheduling.scheduler import Scheduler
from src.settings import Settings
from src.text.merge import Merger, TranscriptDelta, join_deltas
from src.text.transcript import Transcript
from src.transcription.audio_source import AudioSource, ItemAudio
from src.transcription.chunk_reader import ChunkReader, measure_audio, read_ahead
from src.transcription.clip_transcriber import ClipTranscriber, RequestContext
from src.transcription.recording_speakers import RecordingSpeakers
from src.transcription.source_decoder import SourceDecoder
from src.transcription.upload_reservation import EXTRA_S, UploadReservation, audio_bytes, estimated_s

CHUNKS_AHEAD = 2
"""Chunks of one file that the scheduler has at a time: one to run and one to follow it."""
READ_AHEAD_S = 600.0
"""Audio that is decoded before any of it is transcribed; 38 MB."""


class ChunkLength(NamedTuple):
    """How long the chunks of long audio are, in seconds."""

    chunk_s: float
    """The longest chunk."""
    context_s: float = 0.0
    """How much of its neighbours' audio it has in addition, on each side."""


GROWING = ChunkLength(10.0, 2.0)
"""How audio is cut whose text is to grow while it is transcribed. No more words are wrong than in chunks of two minutes
(`test/benches/chunks_bench.py`); the model gets half as much audio again."""


class TranscriptionService:
    """Decodes audio outside the event loop, and transcribes it with the model.

    Args:
        settings: the limits.
        scheduler: runs clips on the model.
        detector: finds speech.
        sandbox: decodes media files in processes of their own.
        audio_memory: memory for the decoded audio of uploads.
        decode_pool: threads for computation; the libraries that do it release the interpreter.
        io_pool: threads that wait for decode workers, one for each worker that there may be.
    """

    def __init__(
        self,
        settings: Settings,
        scheduler: Scheduler,
        detector: SpeechDetector,
        sandbox: Sandbox,
        audio_memory: BudgetQueue,
        decode_pool: Executor,
        io_pool: Executor,
    ) -> None:
        self._settings = settings
        self._detector = detector
        self._audio_memory = audio_memory
        self._decode_pool = decode_pool
        self._decoder = SourceDecoder(sandbox, decode_pool, io_pool)
        self._clips = ClipTranscriber(scheduler, detector, decode_pool)

    async def transcribe(
        self,
        admission: Admission,
        source: AudioSource,
        measured: Measurements,
        *,
        priority: Priority = Priority.NORMAL,
        keywords: tuple[str, ...] = (),
        speakers: RecordingSpeakers | None = None,
    ) -> Transcript:
        """Return the transcript of `source`. Arguments and errors are those of `stream`."""
        stream = self.stream(admission, source, measured, priority=priority, keywords=keywords, speakers=speakers)
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
        grows: bool = False,
        speakers: RecordingSpeakers | None = None,
    ) -> AsyncGenerator[TranscriptDelta, None]:
        """Yield the transcript of `source`, each part as soon as it is final.

        Args:
            admission: the admitted request, whose body has been received.
            source: the audio.
            measured: is filled in while the request runs. It is not a return value because the metrics also have a line
                for each request that fails or whose client leaves, with the figures that it reached.
            priority: precedence over other requests of its kind.
            keywords: words and phrases to expect.
            grows: whether each part has at most ten seconds of audio, for somebody who reads along.
            speakers: gets the audio of each part before that is yielded.

        Raises:
            EmptyAudio, InvalidAudio, AudioTooLong: the audio cannot be used.
            DecoderUnavailable: there is no process to decode it, or no memory for one within the time limit.
            QueueFull: there is no memory for the decoded audio of an upload within the queue's time limit.
            QueueFull, QueueTimeout, TranscriptionFailed: as `Scheduler.transcribe`.
        """
        admission.body_received()
        kind = Kind.REALTIME if isinstance(source, ItemAudio) else Kind.UPLOAD
        request = RequestContext(admission, measured, priority, keywords, kind)
        held_s = speakers.held_s if speakers else 0.0
        size_bytes = audio_bytes(estimated_s(source, self._max_buffered_s) + held_s)
        async with self._audio_memory.reserved(size_bytes) as reservation:
            memory = UploadReservation(self._audio_memory, reservation, self._max_buffered_s)
            reader = self._reader(source, measured, memory, self._length(grows))
            deltas = self._deltas(request, reader, memory, speakers)
            async with aclosing(deltas):
                async for delta in deltas:
                    yield delta

    def _length(self, grows: bool) -> ChunkLength:
        """Return how long chunks are. With their context they are no longer than the settings allow."""
        longest_s = self._settings.chunk_seconds
        return GROWING if grows and GROWING.chunk_s + 2 * GROWING.context_s <= longest_s else ChunkLength(longest_s)

    @property
    def _max_buffered_s(self) -> float:
        """The most decoded audio of one upload, in seconds, that is in memory at a time."""
        chunks_s = (2 * CHUNKS_AHEAD) * self._settings.chunk_seconds
        return min(self._settings.max_audio_seconds, max(READ_AHEAD_S, chunks_s)) + EXTRA_S

    async def _deltas(
        self,
        request: RequestContext,
        reader: ChunkReader[Chunk],
        memory: UploadReservation,
        speakers: RecordingSpeakers | None,
    ) -> AsyncGenerator[TranscriptDelta, None]:
        merger = Merger()
        running: deque[tuple[Chunk, asyncio.Task[Transcript]]] = deque()
        async with aclosing(reader):
            try:
                waiting = deque(await reader.next(2))
                memory.release(0.0)
                if len(waiting) > 1 and request.kind is Kind.UPLOAD:
                    request = replace(request, kind=Kind.CHUNK)
                while waiting or running:
                    if waiting and len(running) < CHUNKS_AHEAD:
                        chunk = waiting.popleft()
                        running.append((chunk, asyncio.create_task(self._chunk_text(request, chunk, speakers))))
                        if waiting:
                            waiting.extend(await reader.next(1))
                        continue
                    done, task = running[0]
                    delta = merger.add(done, await task)
                    running.popleft()
                    memory.release(done.to_s)
                    yield delta
                yield merger.finish()
            finally:
                tasks = [task for _, task in running]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _chunk_text(
        self, request: RequestContext, chunk: Chunk, speakers: RecordingSpeakers | None
    ) -> Transcript:
        """Return the transcript of a chunk. `speakers` listen to it at the same time."""
        if speakers is None:
            return await self._clips.transcribe(request, chunk.samples)
        listening = asyncio.create_task(speakers.add(chunk.own_samples, chunk.from_s))
        try:
            transcript = await self._clips.transcribe(request, chunk.samples)
            await listening
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        return transcript

    def _reader(
        self, source: AudioSource, measured: Measurements, memory: UploadReservation, length: ChunkLength
    ) -> ChunkReader[Chunk]:
        """Return a reader for the chunks of `source`."""
        limit_s = self._settings.max_audio_seconds
        if isinstance(source, ItemAudio):
            pool = None if len(source.samples) <= length.chunk_s * SAMPLE_RATE else self._decode_pool
            return ChunkReader(self._chunks(self._blocks(source.samples), measured, length), pool, measured)
        opened = self._decoder.open(source, max_s=limit_s, short_s=min(length.chunk_s, limit_s))
        chunks = self._chunks(memory.track(opened.blocks), measured, length)
        return ChunkReader(chunks, opened.pool, measured, opened.decoding, opened.worker_memory)

    def _chunks(self, blocks: Iterable[Samples], measured: Measurements, length: ChunkLength) -> Iterator[Chunk]:
        """Yield the chunks of decoded blocks. The detector only runs on audio that is longer than one chunk."""
        blocks = measure_audio(read_ahead(blocks, READ_AHEAD_S), measured)
        yield from split(blocks, self._detector, chunk_seconds=length.chunk_s, context_s=length.context_s)

    def _blocks(self, samples: Samples) -> Iterable[Samples]:
        """Return an item's samples in blocks of the size in which files are decoded, so that both are cut alike.

        Samples that fit in one chunk stay one block, which is never copied.
        """
        size = BLOCK_SAMPLES if len(samples) > self._settings.chunk_seconds * SAMPLE_RATE else max(1, len(samples))
        return (samples[start : start + size] for start in range(0, len(samples), size))
