"""The parts that start and stop with the application: model, decoder processes, thread pools, background tasks."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

from src.api.session_slots import SessionSlots
from src.audio.sandbox import Sandbox
from src.engine.model import Model
from src.errors import DecoderUnavailable, ModelUnavailable
from src.memory.budget import Budget
from src.memory.plan import MIB, MemoryPlan
from src.memory.process import freeze_gc, trim_heap_periodically
from src.metrics import MetricsLog
from src.metrics.load import RENEWED_S, Load, LoadFile
from src.metrics.trace import write_counts, write_counts_periodically
from src.scheduling.scheduler import Scheduler
from src.settings import Settings

log = logging.getLogger(__name__)

WORKERS_PER_CORE = 4
"""Media files that may be decoded at a time. It is more than one a core, as some files may be made to take long."""
SESSION_END_S = 2.0
"""How long clients have, after the grace period, to read the last events of their realtime sessions."""


class Runtime:
    """The parts of the application that run beside its requests, and what they share.

    Args:
        settings: the limits.
        plan: how much memory each part may use.
        on_breakdown: called when the model has failed permanently. By then, every request has its error.
    """

    def __init__(self, settings: Settings, plan: MemoryPlan, on_breakdown: Callable[[], None]) -> None:
        cores = os.cpu_count() or 1
        self._grace_s = settings.shutdown_grace_s
        self._max_sessions = settings.max_sessions
        self._plan = plan
        self.scheduler = Scheduler(settings, on_breakdown)
        self.sessions = SessionSlots(settings.max_sessions)
        replica = settings.replica_name or None
        self.metrics = MetricsLog(
            settings.log_dir, settings.max_log_mb * MIB, self.sessions.__len__, notes_end=True, replica=replica
        )
        self._load_file = LoadFile(self.metrics.path, self.metrics.process_started, replica)
        self.sandbox = Sandbox(
            timeout_s=settings.decode_timeout_s,
            memory_mb=settings.decode_memory_mb,
            total_mb=plan.decoding / MIB,
            max_workers=WORKERS_PER_CORE * cores,
        )
        self.decode_pool = ThreadPoolExecutor(cores, thread_name_prefix="decode")
        self.io_pool = ThreadPoolExecutor(WORKERS_PER_CORE * cores, thread_name_prefix="wait")
        # Beside the model's thread, and apart from decoding, which would wait for it.
        self.speakers_pool = ThreadPoolExecutor(max(1, cores // 2), thread_name_prefix="speakers")
        self.realtime_pool = ThreadPoolExecutor(cores, thread_name_prefix="realtime")
        # Sessions cannot be used while their round waits for its thread, so rounds have one of their own.
        self.rounds_pool = ThreadPoolExecutor(1, thread_name_prefix="rounds")
        self.uploaded_audio = Budget(plan.uploaded_audio)
        self.session_audio = Budget(plan.session_audio, settings.max_sessions)
        self.messages = Budget(plan.messages, settings.max_sessions)
        self.parsing = Budget(plan.reading)

    @asynccontextmanager
    async def running(
        self, load: Callable[[], Model], on_failure: Callable[[], None], *, waits_for_model: bool = False
    ) -> AsyncIterator[None]:
        """Run all parts during the block. The model loads in the background, so that probes are answered at once.

        Args:
            load: returns the model; called in the model's thread.
            on_failure: called when the model cannot be loaded. By then, the reason is in the log.
            waits_for_model: whether the block begins only once requests are admitted.

        Raises:
            ModelUnavailable: the block waits for the model, and it cannot be loaded.
            Exception: the same, with another error of `load`.
        """
        loading = asyncio.create_task(self._load(load, on_failure))
        background = [
            loading,
            asyncio.create_task(trim_heap_periodically(self._work_done)),
            asyncio.create_task(write_counts_periodically(self.metrics)),
            asyncio.create_task(self._tell_load()),
        ]
        self.io_pool.submit(self._start_sandbox)
        log.info("Memory that may be taken: %s.", self._plan)
        try:
            if waits_for_model:
                await loading
            yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await self.drain()
            await self._close()

    def load(self) -> Load:
        """Return how busy this process is. The event loop must be running."""
        scheduler = self.scheduler
        return Load(
            queued_audio_s=scheduler.queued_audio_s,
            running_audio_s=scheduler.running_audio_s,
            uploads=scheduler.uploads,
            sessions=len(self.sessions),
            max_sessions=self._max_sessions,
            batch_size=scheduler.mean_batch_size,
            audio_s_per_s=scheduler.audio_s_per_s,
            ready=scheduler.ready,
        )

    async def drain(self) -> None:
        """Take no more work, and return when all work has ended or the grace period is over.

        Sessions end first: what they have not committed yet is work for the model.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace_s
        self.scheduler.refuse_requests()
        await self.sessions.drain(self._grace_s)
        await self.scheduler.stop(max(0.0, deadline - loop.time()))
        await self.sessions.drain(SESSION_END_S)

    async def _close(self) -> None:
        pools = (self.decode_pool, self.io_pool, self.speakers_pool, self.realtime_pool, self.rounds_pool)
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.sandbox.close)
        write_counts(self.metrics)
        self.metrics.close()
        with suppress(OSError):
            await asyncio.to_thread(self._load_file.remove)

    async def _tell_load(self) -> NoReturn:
        """Renew the file that tells others how busy this process is, until cancelled. A full disk costs only that."""
        with suppress(OSError):
            await asyncio.to_thread(self._load_file.remove_old, time.time())
        while True:
            with suppress(OSError):
                await asyncio.to_thread(self._load_file.write, self.load(), time.time())
            await asyncio.sleep(RENEWED_S)

    def _work_done(self) -> int:
        """Return a count that grows whenever work ends, which may free memory."""
        budgets = (self.uploaded_audio, self.session_audio, self.messages, self.parsing)
        return self.scheduler.batches_run + sum(each.times_shrunk for each in budgets)

    def _start_sandbox(self) -> None:
        with suppress(DecoderUnavailable):  # the first file tries again, and the log has the reason
            self.sandbox.start()

    async def _load(self, load: Callable[[], Model], on_failure: Callable[[], None]) -> None:
        """Load the model, log how that ended, and raise the error of a model that cannot be loaded."""

        def load_and_freeze() -> Model:
            model = load()
            freeze_gc()
            return model

        try:
            await self.scheduler.start(load_and_freeze)
        except ModelUnavailable as error:
            log.error("%s", error)
            on_failure()
            raise
        except Exception:
            log.exception("The model could not be loaded.")
            on_failure()
            raise
        else:
            log.info("Ready for requests.")
