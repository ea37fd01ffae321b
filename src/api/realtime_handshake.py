"""The handshake of `WS /v1/realtime`: which dialect the client speaks, at which sample rate, with which model."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from src.api.auth import KEY_PROTOCOL, credential_of
from src.api.paths import is_azure
from src.api.session_slots import new_session_id
from src.audio.pcm_stream import RATES
from src.errors import InvalidRequest
from src.realtime.session_params import SessionParams
from src.settings import Settings
from src.text.unset import none_if_unset
from src.wire.model_names import ServedModel

_OPENAI_CLIENTS = re.compile(r"openai|livekit|pipecat", re.IGNORECASE)
"""User agents of clients that send OpenAI's 24 kHz unless they say otherwise."""
_CONVERSATION_MODELS = re.compile(r"gpt-(4o-|4o-mini-)?(realtime|live)")
"""OpenAI's speech-to-speech models. Clients that cannot connect without naming one get a transcription session."""


def read_handshake(connection: HTTPConnection, settings: Settings, served: ServedModel) -> SessionParams:
    """Return what a connection says about its client: a WebSocket, or a plain request that asks what one would get.

    Raises:
        InvalidRequest: `sample_rate` is not 8000 to 48000.
        ModelNotFound: the service does not have the `model` of the query.
    """
    query, headers = connection.query_params, connection.headers
    protocols: Sequence[str] = connection.scope.get("subprotocols", ())
    model = none_if_unset(query.get("model"))
    if model is None or not _CONVERSATION_MODELS.match(model):
        served.check(model)
    credential = credential_of(connection)
    beta = "openai-beta" in headers or any(name.startswith("openai-beta.") for name in protocols)
    # Any `model` counts: that is the only sign of OpenAI's JavaScript SDK, which sends `undefined` if it is given none.
    is_openai = (
        beta
        or bool(query.get("model"))
        or credential.session is not None
        or is_azure(connection.scope)
        or _has_openai_signs(query, headers, protocols)
    )
    default_rate = settings.realtime_openai_rate if is_openai else settings.realtime_rate
    requested_rate = _sample_rate(query)
    return SessionParams(
        session_id=new_session_id(),
        expires_at=int(time.time() + settings.realtime_session_s),
        rate=requested_rate or default_rate,
        pcm16_rate=requested_rate or settings.realtime_openai_rate,
        model=model or served.name,
        beta=beta,
        transcription=is_openai,
        config=credential.session,
        intent=_intends_transcription(query),
    )


def _has_openai_signs(query: Mapping[str, str], headers: Headers, protocols: Iterable[str]) -> bool:
    return (
        _intends_transcription(query)
        or any(name.startswith(KEY_PROTOCOL) for name in protocols)
        or any(name.startswith("x-stainless-") for name in headers)
        or bool(_OPENAI_CLIENTS.search(headers.get("user-agent", "")))
    )


def _intends_transcription(query: Mapping[str, str]) -> bool:
    return query.get("intent") == "transcription"


def _sample_rate(query: Mapping[str, str]) -> int | None:
    text = none_if_unset(query.get("sample_rate"))
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6 or int(text) not in RATES:
        message = f"`sample_rate` must be {RATES[0]} to {RATES[-1]}, not {text[:20]!r}."
        raise InvalidRequest(message, param="sample_rate")
    return int(text)
