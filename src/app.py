"""The application: its parts put together, their life, and the one place where errors become answers."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from src.api import azure, client_secrets, health, models, realtime, transcriptions, translations
from src.api.auth import Authentication
from src.api.body import Bodies
from src.api.clients import Clients
from src.api.cors import CrossOrigin
from src.api.directory import Directory
from src.api.keys import ApiKeys, ClientSecrets
from src.api.middleware import RequestTrace
from src.api.openapi import errors
from src.api.paths import Location
from src.api.refusal import refusal
from src.api.session_slots import SessionSlots
from src.audio.sandbox import Sandbox
from src.audio.vad import SpeechDetector
from src.engine.model import Model
from src.engine.nemo_model import NemoModel
from src.errors import DecoderUnavailable, ModelUnavailable, QueueFull, ServiceError, error_body
from src.memory.budget import Budget, Room
from src.memory.limits import memory_limit_bytes
from src.memory.plan import MIB, MemoryPlan
from src.memory.process import keep_trimmed, settle
from src.metrics import MetricsLog
from src.scheduling.scheduler import Scheduler
from src.settings import Settings
from src.transcription.service import TranscriptionService
from src.wire.model_names import ServedModel

log = logging.getLogger(__name__)

WORKERS_PER_CORE = 4
"""Media files that may be decoded at a time: more than cores, as some may be made to take long."""
AUDIO_FULL = "The audio of the uploads that are under way fills the server's memory."
MESSAGES_FULL = "The messages of all sessions fill the server's memory, and this one was not read."
SESSION_END_S = 2.0
"""How long, after the grace period, the last events of realtime sessions may take to be read."""


def create_app(
    settings: Settings,
    *,
    load: Callable[[Settings], Model] = NemoModel.load,
    on_failure: Callable[[], None] = lambda: None,
    on_breakdown: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Build the application. Its lifespan loads the model in the background, so that probes are answered at once.

    Args:
        settings: everything that can be set.
        load: makes the model, in the thread that will own it.
        on_failure: called when the model cannot be loaded; the reason is on the log by then.
        on_breakdown: called when the model has failed for good; every request has been told so by then.
    """
    plan = MemoryPlan.of(settings, memory_limit_bytes())
    settings = settings.model_copy(update={"max_queued_audio_s": plan.queued_audio_s})
    scheduler = Scheduler(settings, on_breakdown)
    metrics = MetricsLog(settings.log_dir)
    cores = os.cpu_count() or 1
    sandbox = Sandbox(
        timeout_s=settings.decode_timeout_s,
        memory_mb=settings.decode_memory_mb,
        total_mb=plan.decoding / MIB,
        most_workers=WORKERS_PER_CORE * cores,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(scheduler, lambda: load(settings), on_failure))
        trimming = asyncio.create_task(keep_trimmed(work_done))
        waiters.submit(_start, sandbox)
        log.info("Memory that may be taken: %s.", plan)
        try:
            yield
        finally:
            for task in (loading, trimming):
                task.cancel()
            await asyncio.gather(loading, trimming, return_exceptions=True)
            await drain()
            for threads in (workers, waiters, listeners):
                threads.shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(sandbox.close)
            metrics.close()

    def work_done() -> int:
        budgets = (uploaded_audio, session_audio, messages, reading)
        return scheduler.batches_run + sum(each.times_freed for each in budgets)

    async def drain() -> None:
        await asyncio.gather(
            scheduler.stop(settings.shutdown_grace_s), sessions.drain(settings.shutdown_grace_s + SESSION_END_S)
        )

    workers = ThreadPoolExecutor(cores, thread_name_prefix="decode")
    waiters = ThreadPoolExecutor(WORKERS_PER_CORE * cores, thread_name_prefix="wait")
    listeners = ThreadPoolExecutor(cores, thread_name_prefix="realtime")
    detector = SpeechDetector()
    uploaded_audio = Budget(plan.uploaded_audio)
    room = Room(uploaded_audio, settings.max_queue_wait_s, partial(_full, AUDIO_FULL, settings))
    session_audio = Budget(plan.session_audio, settings.max_sessions)
    messages, reading = Budget(plan.messages, settings.max_sessions), Budget(plan.reading)
    sessions = SessionSlots(settings.max_sessions)
    app = FastAPI(title="Parakeet speech-to-text", version="0.1.0", lifespan=lifespan, redirect_slashes=False)
    app.state.settings = settings
    app.state.scheduler = scheduler
    app.state.service = TranscriptionService(settings, scheduler, detector, sandbox, room, workers, waiters)
    app.state.bodies = Bodies(
        max_bytes=settings.max_upload_bytes, most_bytes=plan.uploads, timeout_s=settings.upload_timeout_s
    )
    app.state.secrets = ClientSecrets()
    app.state.created = int(time.time())
    app.state.served = ServedModel(settings.model_name, strict=settings.strict_model)
    app.state.drain = drain
    app.state.messages = messages
    app.state.realtime = realtime.Realtime(
        settings,
        scheduler,
        app.state.service,
        app.state.served,
        sessions,
        metrics,
        detector,
        session_audio,
        Room(reading, settings.max_queue_wait_s, partial(_full, MESSAGES_FULL, settings)),
        listeners,
    )
    # They are tried in this order, and a try costs time.
    app.include_router(transcriptions.router, responses=errors(401))
    app.include_router(health.router)
    for routes in (models, translations, client_secrets, realtime, azure):
        app.include_router(routes.router, responses=errors(401))
    app.router.default = _unknown_path
    app.state.directory = Directory(app.routes)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    # The last one added is the first to see a request.
    keys = ApiKeys(settings.keys)
    clients = Clients(most_per_key=settings.max_concurrent_per_key, most_per_address=settings.max_concurrent_per_client)
    app.add_middleware(Authentication, keys=keys, secrets=app.state.secrets, clients=clients)
    app.add_middleware(RequestTrace, metrics=metrics, model=settings.model_name)
    if settings.origins:
        app.add_middleware(CrossOrigin, origins=settings.origins)
    app.add_middleware(Location, root_path=settings.root_path)
    return app


def _full(reason: str, settings: Settings) -> QueueFull:
    return QueueFull(f"{reason} Try again later.", retry_after_s=settings.max_queue_wait_s)


def _start(sandbox: Sandbox) -> None:
    with suppress(DecoderUnavailable):  # the first file will try again, and the log has the reason
        sandbox.start()


async def _load(scheduler: Scheduler, load: Callable[[], Model], on_failure: Callable[[], None]) -> None:
    def load_and_settle() -> Model:
        model = load()
        settle()
        return model

    try:
        await scheduler.start(load_and_settle)
    except ModelUnavailable as error:
        log.error("%s", error)
        on_failure()
    except Exception:
        log.exception("The model could not be loaded.")
        on_failure()
    else:
        log.info("Ready for requests.")


async def _unknown_path(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse what no route takes, a WebSocket as a request."""
    directory: Directory = scope["app"].state.directory
    error = directory.missing(scope)
    if scope["type"] == "http":
        raise error
    log.info("WS unknown refused: %d %s", error.status, error.code)
    await WebSocket(scope, receive, send).send_denial_response(refusal(error))


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    request.state.trace.code = error.code
    return refusal(error)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework itself refuses, such as a wrong method."""
    assert isinstance(error, HTTPException)
    code, message = "invalid_request", str(error.detail)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        directory: Directory = request.app.state.directory
        code, message = "method_not_allowed", directory.wrong_method(request.scope)
        if headers["Allow"] == "GET":  # the framework names the first route of a path; HEAD has one of its own
            headers["Allow"] = "GET, HEAD"
    request.state.trace.code = code
    body = error_body(message, type="invalid_request_error", code=code)
    return JSONResponse(body, error.status_code, headers=headers)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = str(first["loc"][-1])
    request.state.trace.code = "invalid_value"
    body = error_body(f"`{param}`: {first['msg']}.", type="invalid_request_error", code="invalid_value", param=param)
    return JSONResponse(body, 400)
