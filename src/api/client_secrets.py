"""OpenAI's routes that make temporary keys for browsers, in the GA and the beta API.

The request may have a session configuration, with which sessions with the key begin (platform.openai.com, "Client
secrets").
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, ValidationError

from src.api.auth import credential_of
from src.api.body import BodyReader, parse_json
from src.api.dependencies import Services, ServicesDep
from src.api.errors import documented_errors
from src.api.session_slots import new_session_id
from src.api.temporary_keys import MAX_LIFETIME_S, TemporaryKey
from src.audio.pcm_stream import AudioFormat, Encoding
from src.errors import InvalidRequest
from src.realtime.config import AudioTranscription, SessionConfig, unset_to_none
from src.text.unset import none_if_unset

router = APIRouter(tags=["realtime"])

MAX_BODY_BYTES = 16 * 1024
DEFAULT_S = 600


class ExpiresAfter(BaseModel):
    """How long a key is valid."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Field(ge=10, le=MAX_LIFETIME_S)] = DEFAULT_S


class SecretRequest(BaseModel):
    """The body of a request; every field is optional."""

    expires_after: ExpiresAfter | None = None
    session: dict[str, Any] | None = None


_UNSET = [{"type": "null"}, {"type": "string", "pattern": r"^\s*(null|None|none|undefined|nil)?\s*$"}]
"""JSON schemas of values that count as unset (see `none_if_unset`)."""


def _object_of_optional(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of an object whose properties may be unset."""
    return {"type": "object", "properties": {name: {"anyOf": [each, *_UNSET]} for name, each in properties.items()}}


def _body_of(**properties: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI entry of a JSON body whose properties may be unset."""
    return {"requestBody": {"content": {"application/json": {"schema": _object_of_optional(properties)}}}}


_EXPIRES_AFTER = _object_of_optional(ExpiresAfter.model_json_schema()["properties"])
_SESSION = _object_of_optional({"type": {"enum": ["transcription", "realtime"]}})
SECRET_REQUEST = _body_of(expires_after=_EXPIRES_AFTER, session=_SESSION)
BETA_REQUEST = _body_of()


class SecretAnswer(BaseModel):
    """A temporary key, and the configuration with which its sessions begin."""

    value: str
    expires_at: int
    """In Unix seconds."""
    session: dict[str, Any]


class BetaSecret(BaseModel):
    """A temporary key in the beta's shape."""

    value: str
    expires_at: int


class BetaSession(BaseModel):
    """A session configuration in the beta's flat shape, with a temporary key."""

    id: str
    object: Literal["realtime.transcription_session"] = "realtime.transcription_session"
    input_audio_format: str
    input_audio_transcription: dict[str, Any]
    turn_detection: dict[str, Any] | None
    input_audio_noise_reduction: dict[str, Any] | None
    include: list[str]
    client_secret: BetaSecret


_ERRORS = documented_errors(400, 404, 408, 413, 415, 429, 503)


@router.post("/v1/realtime/client_secrets", openapi_extra=SECRET_REQUEST, responses=_ERRORS)
async def create_client_secret(request: Request, services: ServicesDep) -> SecretAnswer:
    """Make a temporary key for the WebSocket."""
    requested = _validated(await _json_object(request, services.body_reader))
    seconds = requested.expires_after.seconds if requested.expires_after else DEFAULT_S
    config, secret = _mint(services, request, requested.session, seconds)
    head = {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "id": new_session_id(),
        "expires_at": 0,
    }
    return SecretAnswer(value=secret.value, expires_at=secret.expires_at, session=head | config.ga())


@router.post("/v1/realtime/transcription_sessions", openapi_extra=BETA_REQUEST, responses=_ERRORS)
async def create_transcription_session(request: Request, services: ServicesDep) -> BetaSession:
    """Make a temporary key for the WebSocket, in the beta's shape."""
    requested = await _json_object(request, services.body_reader)
    config, secret = _mint(services, request, requested, DEFAULT_S)
    client_secret = BetaSecret(value=secret.value, expires_at=secret.expires_at)
    return BetaSession(id=new_session_id(), client_secret=client_secret, **config.beta())


async def _json_object(request: Request, reader: BodyReader) -> dict[str, Any]:
    """Return the JSON object in the body of `request`; an empty one if it has no body."""
    async with reader.read(request, max_bytes=MAX_BODY_BYTES) as pieces:
        body = b"".join(pieces)
    parsed = parse_json(body) if body.strip() else {}
    if not isinstance(parsed, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return parsed


def _validated(requested: dict[str, Any]) -> SecretRequest:
    expires_after, session = unset_to_none(requested.get("expires_after")), requested.get("session")
    if isinstance(expires_after, dict):
        expires_after = {name: value for name, value in expires_after.items() if value is not None}
    try:
        # `SessionConfig` validates what is in the session.
        return SecretRequest.model_validate({"expires_after": expires_after, "session": none_if_unset(session)})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"`{path}`: {first['msg']}.", param=path) from None


def _mint(
    services: Services, request: Request, session: dict[str, Any] | None, seconds: int
) -> tuple[SessionConfig, TemporaryKey]:
    """Return the configuration of the requested session, and a temporary key for it."""
    services.scheduler.check_ready()  # before, the model's languages are unknown
    served = services.served_model_for(request.scope)
    rate = services.settings.realtime_openai_rate
    config = SessionConfig(AudioFormat(Encoding.PCM16, rate), rate, AudioTranscription(model=served.name))
    config = config.updated(session or {}, served, services.scheduler.languages)
    return config, services.temporary_keys.mint(credential_of(request).owner, config, seconds)
