"""`POST /v1/audio/transcriptions`: OpenAI's route for files."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel

from src.api.upload import read_upload
from src.errors import ClientGone
from src.scheduling.scheduler import Scheduler
from src.service import Measurements, TranscriptionService
from src.settings import Settings

router = APIRouter(tags=["audio"])

T = TypeVar("T")


class Transcription(BaseModel):
    """The answer in the `json` format."""

    text: str


class ErrorDetail(BaseModel):
    """What went wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """The body of every answer that is not 2xx."""

    error: ErrorDetail


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "Audio or video of any format."},
                        "priority": {"type": "string", "enum": ["high", "normal", "low"], "default": "normal"},
                    },
                }
            },
            "audio/*": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "parameters": [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": f"{what} of a headerless PCM16 body (audio/pcm, audio/l16).",
            "schema": {"type": "integer", "minimum": low, "maximum": high, "default": default},
        }
        for name, what, low, high, default in (
            ("rate", "Samples per second", 8000, 192000, 16000),
            ("channels", "Channels", 1, 8, 1),
        )
    ],
}


@router.post(
    "/v1/audio/transcriptions",
    openapi_extra=_BODY,
    responses={status: {"model": ErrorAnswer} for status in (400, 413, 429, 500, 503)},
)
async def transcribe(request: Request) -> Transcription:
    """Transcribe one audio file: a multipart part `file`, or the file itself as the body."""
    state = request.app.state
    settings: Settings = state.settings
    scheduler: Scheduler = state.scheduler
    service: TranscriptionService = state.service
    measured: Measurements = request.state.trace.measured
    async with scheduler.admit() as admission:
        upload = await read_upload(request, settings.max_upload_bytes)
        transcript = await _unless_gone(request, service.transcribe(admission, upload, measured))
    return Transcription(text=transcript.text)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; if the client of `request`, whose body has been read, leaves first, cancel it.

    Raises:
        ClientGone: the client left.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
