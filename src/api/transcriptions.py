"""OpenAI's routes for files: `POST /v1/audio/transcriptions`, and `POST /v1/audio/translations`, which is rejected."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from src.api.auth import client_of
from src.api.dependencies import services_of, trace_of
from src.api.errors import documented_errors
from src.api.openapi import TRANSCRIPTION_ANSWERS, TRANSCRIPTION_REQUEST
from src.api.options import Options, parse_options
from src.api.request import parse_request
from src.api.responses import EventStream, Transcription, VerboseTranscription, is_quick, render
from src.api.speakers import DiarizedTranscription
from src.errors import ClientGone, ServiceError, UnsupportedModel
from src.scheduling.admissions import Admission
from src.text.speaker_turns import Labeller
from src.text.transcript import Transcript
from src.transcription.audio_source import Upload
from src.transcription.recording_speakers import RecordingSpeakers


class _PlainRoute(APIRoute):
    """A route whose endpoint takes only the request, which saves the time of FastAPI's dependency injection."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint."""
        return self.endpoint


_Result = TypeVar("_Result")

router = APIRouter(tags=["audio"], route_class=_PlainRoute)

STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""Headers that stop proxies from buffering events."""


@router.post(
    "/v1/audio/transcriptions",
    response_model=Transcription | VerboseTranscription | DiarizedTranscription,
    openapi_extra=TRANSCRIPTION_REQUEST,
    responses=TRANSCRIPTION_ANSWERS | documented_errors(400, 404, 408, 413, 415, 429, 500, 503),
)
async def transcribe(request: Request) -> Response:
    """Transcribe one audio or video file: a multipart part `file`, or the file itself as the body."""
    return TranscriptionResponse(request)


@router.post("/v1/audio/translations", include_in_schema=False)
async def translate(request: Request) -> Response:
    """Answer 400 `unsupported_model`: Parakeet transcribes speech in its own language and does not translate."""
    message = "The model transcribes and does not translate. Use /v1/audio/transcriptions."
    raise UnsupportedModel(message, param="model")


class TranscriptionResponse(Response):
    """The answer to a transcription request. It admits the request, reads and transcribes it, and sends the text.

    All of it runs in one task, which holds the request's slot until the last byte is sent.
    """

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._services = services_of(request.app)
        self._trace = trace_of(request)
        self._streaming = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        try:
            answer = await self._answer(send)
        except ServiceError as error:
            if not self._streaming:
                raise
            # The status is sent already, so the stream ends with an error event.
            self._trace.status, self._trace.error_code = error.status, error.code
            await self._send_event(send, EventStream.error(error), last=True)
            return
        if answer:
            await answer(scope, receive, send)

    async def _answer(self, send: Send) -> Response | None:
        """Return the answer; None if it has been streamed."""
        services = self._services
        async with (
            services.scheduler.admit(client_of(self._request)) as admission,
            services.body_reader.read(self._request, admission.upload) as pieces,
        ):
            body = await parse_request(self._request, pieces)
            served_model = services.served_model_for(self._request.scope)
            options = parse_options(
                body.fields, served_model, services.scheduler.languages, services.settings.max_speakers
            )
            async with _while_connected(self._request), self._speakers(admission, options) as speakers:
                if options.stream:
                    await self._stream(admission, body.upload, options, speakers, send)
                    return None
                transcript = await services.transcription.transcribe(
                    admission,
                    body.upload,
                    self._trace.measured,
                    priority=options.priority,
                    keywords=options.keywords,
                    speakers=speakers,
                )
                if speakers:
                    return await self._render(transcript, options, speakers.label)
        return await self._render(transcript, options)

    @asynccontextmanager
    async def _speakers(self, admission: Admission, options: Options) -> AsyncIterator[RecordingSpeakers | None]:
        """Yield the speakers of the upload; None if they are not asked for."""
        if options.speakers is None:
            yield None
            return
        run = asyncio.to_thread if options.speakers.references else _call
        wanted = await run(options.speakers.wanted)
        async with self._services.speakers.of_upload(admission, wanted, self._trace.measured) as speakers:
            yield speakers

    async def _render(self, transcript: Transcript, options: Options, label: Labeller | None = None) -> Response:
        identify = self._services.identifier.identify
        rendering = partial(render, transcript, options, duration_s=self._duration_s, identify=identify, label=label)
        # The words, cues and speakers of hours of speech take too long for the event loop.
        return rendering() if is_quick(options) else await asyncio.to_thread(rendering)

    async def _stream(
        self,
        admission: Admission,
        upload: Upload,
        options: Options,
        speakers: RecordingSpeakers | None,
        send: Send,
    ) -> None:
        label = speakers.label_next if speakers else None
        events = EventStream(options, self._services.identifier.identify, label)
        run = _call if events.is_quick else asyncio.to_thread
        pieces = self._services.transcription.stream(
            admission,
            upload,
            self._trace.measured,
            priority=options.priority,
            keywords=options.keywords,
            grows=True,
            speakers=speakers,
        )
        async with aclosing(pieces):
            async for piece in pieces:
                if piece.text:
                    await self._send_event(send, await run(events.delta, piece.text, piece.tokens))
        await self._send_event(send, await run(events.done, self._duration_s), last=True)

    async def _send_event(self, send: Send, event: bytes, *, last: bool = False) -> None:
        if not self._streaming:
            self._streaming = True
            start = Response(headers=STREAM_HEADERS, media_type="text/event-stream")
            headers = [(name, value) for name, value in start.raw_headers if name != b"content-length"]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": event, "more_body": not last})

    @property
    def _duration_s(self) -> float:
        return self._trace.measured.audio_len_s or 0.0


async def _call(function: Callable[..., _Result], *args: Any) -> _Result:
    """Call a quick function; has the interface of `asyncio.to_thread`."""
    return function(*args)


@asynccontextmanager
async def _while_connected(request: Request) -> AsyncIterator[None]:
    """Run the block, and end it with `ClientGone` if the client of `request` disconnects. The body must be read."""
    scope = asyncio.timeout(None)

    async def watch() -> None:
        with suppress(ClientGone):
            while (await request.receive())["type"] != "http.disconnect":
                pass
        scope.reschedule(asyncio.get_running_loop().time())

    watching = asyncio.create_task(watch())
    try:
        async with scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise ClientGone from None
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
