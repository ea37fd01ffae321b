"""The services that routes depend on: one typed, frozen set, made once by `src.app`.

A FastAPI route takes it as a parameter, `services: ServicesDep`. Code that has a plain request, WebSocket or
application calls `services_of`. The transcription route does too, which saves the time of dependency injection.
"""

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.types import Scope

from src.api.body import BodyReader
from src.api.known_paths import KnownPaths
from src.api.paths import is_azure
from src.api.session_slots import SessionSlots
from src.api.temporary_keys import TemporaryKeys
from src.audio.vad import SpeechDetector
from src.memory.budget import Budget
from src.memory.budget_queue import BudgetQueue
from src.metrics import MetricsLog
from src.metrics.load import Load
from src.metrics.trace import Trace
from src.realtime.audio_batcher import AudioBatcher
from src.scheduling.scheduler import Scheduler
from src.settings import Settings
from src.text.language_identifier import LanguageIdentifier
from src.transcription.service import TranscriptionService
from src.transcription.speaker_service import SpeakerService
from src.wire.model_names import ServedModel


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that requests and realtime sessions share."""

    settings: Settings
    scheduler: Scheduler
    transcription: TranscriptionService
    speakers: SpeakerService
    served_model: ServedModel
    body_reader: BodyReader
    temporary_keys: TemporaryKeys
    known_paths: KnownPaths
    metrics: MetricsLog
    sessions: SessionSlots
    detector: SpeechDetector
    identifier: LanguageIdentifier
    session_audio: Budget
    """Memory for the audio of all realtime sessions."""
    message_memory: Budget
    """Memory for WebSocket messages until they are complete and read."""
    parsing_memory: BudgetQueue
    """Memory for long WebSocket messages while they are parsed."""
    audio_batcher: AudioBatcher
    """Decodes the audio of realtime sessions, and detects turns in it."""
    realtime_pool: Executor
    """Threads that decode realtime audio, apart from those of uploads, which may be busy for long."""
    created_at: int
    """When the application was made, in Unix seconds."""
    note_refusal: Callable[[str, int, str], None]
    """Writes to the logs that the server has answered a request in place of the application: its protocol (`HTTP` or
    `WS`), the status and the error's code."""
    drain: Callable[[], Awaitable[None]]
    """Takes no more work, and returns when all work has ended or the grace period is over."""
    load: Callable[[], Load]
    """Returns how busy this process is; called in the event loop."""

    def served_model_for(self, scope: Scope) -> ServedModel:
        """Return the served model for a connection of `scope`: on Azure's paths, every name stands for it."""
        return self.served_model.by_any_name if is_azure(scope) else self.served_model


def provide(app: Starlette, services: Services) -> None:
    """Store `services` in `app`, for `services_of`."""
    app.state.services = services


def services_of(app: Starlette) -> Services:
    """Return the services of `app`, such as `request.app`."""
    services: Services = app.state.services
    return services


async def _services(connection: HTTPConnection) -> Services:
    """Return the services of the application that serves `connection`; FastAPI calls it in the event loop."""
    return services_of(connection.app)


ServicesDep = Annotated[Services, Depends(_services)]


def trace_of(request: HTTPConnection) -> Trace:
    """Return the trace of a request, which `RequestTrace` has set."""
    trace: Trace = request.state.trace
    return trace
