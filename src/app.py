"""The application: its services, routes and middleware, put together."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from src import __version__
from src.api import azure, client_secrets, health, models, realtime, transcriptions
from src.api.auth import Authentication
from src.api.body import BodyReader
from src.api.client_limits import ClientLimits
from src.api.cors import CrossOrigin
from src.api.dependencies import Services, provide
from src.api.docs import docs_routes
from src.api.errors import add_error_handlers, documented_errors
from src.api.keys import ApiKeys
from src.api.known_paths import KnownPaths
from src.api.middleware import RequestTrace
from src.api.origins import OriginGuard, is_loopback_host
from src.api.paths import DOCUMENTATION, OPENAPI, PROBES, UNLOGGED, PathNormalizer
from src.api.temporary_keys import TemporaryKeys
from src.api.web import web_routes
from src.audio.vad import SpeechDetector
from src.diarization.factory import diarizer_of
from src.engine.model import Model
from src.engine.nemo_model import NemoModel
from src.errors import QueueFull
from src.memory.budget_queue import BudgetQueue
from src.memory.limits import memory_limit_bytes
from src.memory.plan import MemoryPlan
from src.metrics.trace import write_refusal
from src.realtime.audio_batcher import AudioBatcher
from src.runtime import Runtime
from src.settings import Settings
from src.text.language_identifier import LanguageIdentifier
from src.transcription.service import TranscriptionService
from src.transcription.source_decoder import SourceDecoder
from src.transcription.speaker_service import SpeakerService
from src.wire.model_names import ServedModel

AUDIO_FULL = "The audio of the uploads in progress fills the server's memory."
MESSAGES_FULL = "The messages of all sessions fill the server's memory, and this one was not read."


def create_app(
    settings: Settings,
    *,
    load: Callable[[Settings], Model] = NemoModel.load,
    on_failure: Callable[[], None] = lambda: None,
    on_breakdown: Callable[[], None] = lambda: None,
    names_answers: bool = True,
    waits_for_model: bool = False,
    sharing: int = 1,
) -> FastAPI:
    """Return the application. It loads the model when it starts.

    Args:
        settings: the settings.
        load: returns the model; called in the model's thread.
        on_failure: called when the model cannot be loaded. By then, the reason is in the log.
        on_breakdown: called when the model has failed permanently. By then, every request has its error.
        names_answers: whether HTTP answers get the header `x-request-id` here. False in a server that adds it itself,
            such as Ray Serve's; WebSockets, which that leaves alone, have theirs in any case.
        waits_for_model: whether start-up (the ASGI lifespan) ends only once requests are admitted, for a server that
            sends requests as soon as it has ended. If the model cannot be loaded, start-up then fails with its error.
            Otherwise start-up ends at once, and `/readyz` says when the model is ready.
        sharing: how many processes of the service share the memory of this machine.
    """
    plan = MemoryPlan.of(settings, memory_limit_bytes() // sharing)
    settings = settings.model_copy(update={"max_queued_audio_s": plan.queued_audio_s})
    runtime = Runtime(settings, plan, on_breakdown)
    identifier = LanguageIdentifier()

    def load_all() -> Model:
        model = load(settings)
        identifier.load(model.languages)
        return model

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with runtime.running(load_all, on_failure, waits_for_model=waits_for_model):
            yield

    app = FastAPI(
        title="Parakeet speech-to-text",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=OPENAPI,
        docs_url=None,  # FastAPI's own pages load their scripts from another host
        redoc_url=None,
    )
    _add_routes(app)
    page = web_routes() if settings.web else []
    app.router.routes.extend([*docs_routes(app.openapi, has_keys=bool(settings.keys)), *page])
    services = _services(settings, plan, runtime, KnownPaths(app.routes), identifier)
    provide(app, services)
    add_error_handlers(app)
    _add_middleware(app, services, frozenset(route.path for route in page), names_answers)
    return app


def _add_routes(app: FastAPI) -> None:
    """Add all routes, the busiest first: the framework tries them in this order."""
    app.include_router(transcriptions.router, responses=documented_errors(401, 403))
    app.include_router(health.router)
    for routes in (models, client_secrets, realtime, azure):
        app.include_router(routes.router, responses=documented_errors(401, 403))


def _add_middleware(app: FastAPI, services: Services, page: frozenset[str], names_answers: bool) -> None:
    """Add all middleware. The last one added sees a request first. `page` are the paths of the page and its files."""
    settings = services.settings
    limits = ClientLimits(
        max_per_key=settings.max_concurrent_per_key, max_per_address=settings.max_concurrent_per_client
    )
    app.add_middleware(
        Authentication,
        keys=ApiKeys(settings.keys),
        temporary_keys=services.temporary_keys,
        limits=limits,
        open_paths=PROBES | DOCUMENTATION | page,
    )
    if not settings.keys and "*" not in settings.origins:
        app.add_middleware(OriginGuard, origins=settings.origins, is_local=is_loopback_host(settings.host))
    app.add_middleware(
        RequestTrace,
        metrics=services.metrics,
        model=settings.model_name,
        unlogged_paths=UNLOGGED | page,
        names_answers=names_answers,
    )
    if settings.origins:
        app.add_middleware(CrossOrigin, origins=settings.origins)
    app.add_middleware(PathNormalizer, root_path=settings.root_path)


def _services(
    settings: Settings, plan: MemoryPlan, runtime: Runtime, known_paths: KnownPaths, identifier: LanguageIdentifier
) -> Services:
    detector = SpeechDetector()
    audio = BudgetQueue(runtime.uploaded_audio, settings.max_queue_wait_s, partial(_full, AUDIO_FULL, settings))
    decoder = SourceDecoder(runtime.sandbox, runtime.decode_pool, runtime.io_pool)
    return Services(
        settings=settings,
        scheduler=runtime.scheduler,
        transcription=TranscriptionService(
            settings, runtime.scheduler, detector, runtime.sandbox, audio, runtime.decode_pool, runtime.io_pool
        ),
        speakers=SpeakerService(
            diarizer_of(settings, detector), decoder, audio, runtime.speakers_pool, settings.max_speakers
        ),
        served_model=ServedModel(settings.model_name, strict=settings.strict_model),
        body_reader=BodyReader(
            max_bytes=settings.max_upload_bytes, max_total_bytes=plan.uploads, timeout_s=settings.upload_timeout_s
        ),
        temporary_keys=TemporaryKeys(settings.keys, settings.secret_key.get_secret_value()),
        known_paths=known_paths,
        metrics=runtime.metrics,
        sessions=runtime.sessions,
        detector=detector,
        identifier=identifier,
        session_audio=runtime.session_audio,
        message_memory=runtime.messages,
        parsing_memory=BudgetQueue(runtime.parsing, settings.max_queue_wait_s, partial(_full, MESSAGES_FULL, settings)),
        audio_batcher=AudioBatcher(detector, runtime.rounds_pool),
        realtime_pool=runtime.realtime_pool,
        created_at=int(time.time()),
        note_refusal=partial(write_refusal, runtime.metrics, settings.model_name),
        drain=runtime.drain,
        load=runtime.load,
    )


def _full(reason: str, settings: Settings) -> QueueFull:
    return QueueFull(f"{reason} Try again later.", retry_after_s=settings.max_queue_wait_s)
