"""The application: its parts put together, their life, and the one place where errors become answers."""

import asyncio
import functools
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from src.api import health, models, realtime, transcriptions, translations
from src.api.middleware import RequestTrace
from src.api.sessions import Sessions
from src.asr.model import Model, NemoModel
from src.audio.vad import SpeechDetector
from src.errors import ModelUnavailable, ServiceError, error_body
from src.memory import settle, trim_when_idle
from src.metrics import MetricsLog
from src.scheduling.scheduler import Scheduler
from src.served import Served
from src.service import TranscriptionService
from src.settings import Settings

log = logging.getLogger(__name__)

SESSION_END_S = 2.0
"""How long, after the grace period, the last events of realtime sessions may take to be read."""


def create_app(
    settings: Settings,
    *,
    load: Callable[[Settings], Model] = NemoModel.load,
    on_failure: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Build the application. Its lifespan loads the model in the background, so that probes are answered at once.

    Args:
        settings: everything that can be set.
        load: makes the model, in the thread that will own it.
        on_failure: called when the model cannot be loaded; the reason is on the log by then.
    """
    scheduler = Scheduler(settings)
    metrics = MetricsLog(settings.log_dir)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(scheduler, lambda: load(settings), on_failure))
        trimming = asyncio.create_task(trim_when_idle(scheduler))
        try:
            yield
        finally:
            for task in (loading, trimming):
                task.cancel()
            await asyncio.gather(loading, trimming, return_exceptions=True)
            await drain()
            for threads in (workers, listeners):
                threads.shutdown(wait=False, cancel_futures=True)
            metrics.close()

    async def drain() -> None:
        await asyncio.gather(
            scheduler.stop(settings.shutdown_grace_s), sessions.drain(settings.shutdown_grace_s + SESSION_END_S)
        )

    workers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
    listeners = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="realtime")
    load_detector = functools.cache(SpeechDetector)
    sessions = Sessions(settings.max_sessions)
    app = FastAPI(title="Parakeet speech-to-text", version="0.1.0", lifespan=lifespan)
    app.state.settings = settings
    app.state.scheduler = scheduler
    app.state.service = TranscriptionService(settings, scheduler, load_detector, workers)
    app.state.created = int(time.time())
    app.state.served = Served(settings.model_name, strict=settings.strict_model)
    app.state.drain = drain
    app.state.realtime = realtime.Realtime(
        settings, scheduler, app.state.service, app.state.served, sessions, metrics, load_detector, listeners
    )
    # They are tried in this order, and a try costs time.
    for routes in (transcriptions, health, models, translations, realtime):
        app.include_router(routes.router)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_middleware(RequestTrace, metrics=metrics, model=settings.model_name)
    return app


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


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    request.state.trace.code = error.code
    return JSONResponse(error.body, error.status, headers=error.headers)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework itself refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    code, message = {
        404: ("not_found", f"There is no {request.url.path} on this server."),
        405: ("method_not_allowed", f"{request.url.path} does not take {request.method}."),
    }.get(error.status_code, ("invalid_request", str(error.detail)))
    request.state.trace.code = code
    body = error_body(message, type="invalid_request_error", code=code)
    return JSONResponse(body, error.status_code, headers=error.headers)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = str(first["loc"][-1])
    request.state.trace.code = "invalid_value"
    body = error_body(f"`{param}`: {first['msg']}.", type="invalid_request_error", code="invalid_value", param=param)
    return JSONResponse(body, 400)
