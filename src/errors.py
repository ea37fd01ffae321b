"""The errors that a caller may get, and their JSON body.

The body is OpenAI's: `{"error": {"message", "type", "param", "code"}}`; its SDKs read all four keys
(platform.openai.com, "Error codes"). Code that detects an error raises it; `src.api.errors` turns it into an answer.
"""

import math
from collections.abc import Mapping
from copy import copy
from typing import ClassVar, Self


class ServiceError(Exception):
    """A request cannot be served.

    `status` is the HTTP status. `type` and `code` are those of OpenAI's error body.

    Args:
        message: the sentence that the caller reads.
        param: the name of the invalid field.
        retry_after_s: when a retry may succeed, in seconds.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str = "internal_error"
    extra_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON body of the answer."""
        return error_body(self.message, type=self.type, code=self.code, param=self.param)

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP headers of the answer, with `Retry-After` in whole seconds, at least 1, if a retry may help."""
        headers = dict(self.extra_headers)
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        return headers

    def within(self, path: str) -> Self:
        """Return a copy of this error whose `param` is a field of the object at `path`, such as `session.audio`."""
        error = copy(self)
        error.param = f"{path}.{self.param}"
        return error


def error_body(
    message: str, *, type: str, code: str | None, param: str | None = None
) -> dict[str, dict[str, str | None]]:
    """Return OpenAI's error body around `message`."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


class InvalidRequest(ServiceError):
    """A field or the body is not valid."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class UnsupportedLanguage(InvalidRequest):
    """The model does not know the language."""

    code = "unsupported_language"


class UnsupportedModel(InvalidRequest):
    """The model does not do the task."""

    code = "unsupported_model"


class SpeakersUnavailable(InvalidRequest):
    """This server cannot tell speakers apart: what it needs for that is not installed, or cannot be loaded."""

    code = "speakers_unavailable"


class UnknownPath(InvalidRequest):
    """No route has the path, or none for this protocol."""

    status = 404
    code = "not_found"


class MethodNotAllowed(InvalidRequest):
    """The path does not take the method."""

    status = 405
    code = "method_not_allowed"


class UpgradeRequired(InvalidRequest):
    """A plain HTTP request to the path of a WebSocket."""

    status = 426
    code = "upgrade_required"
    extra_headers: ClassVar[Mapping[str, str]] = {"Upgrade": "websocket", "Connection": "upgrade"}


class OriginNotAllowed(InvalidRequest):
    """The web page's origin is not in `PARAKEET_CORS_ORIGINS`."""

    code = "origin_not_allowed"


class ForeignOrigin(OriginNotAllowed):
    """The same, of a request or a handshake to a service without keys. A preflight request gets 400."""

    status = 403


class HostNotAllowed(InvalidRequest):
    """The client reaches a service without keys by a name that may lead elsewhere."""

    status = 403
    code = "host_not_allowed"


class ModelNotFound(InvalidRequest):
    """The model name stands for a model that is not served here."""

    status = 404
    code = "model_not_found"


class MissingFile(InvalidRequest):
    """The transcription request has no audio."""

    code = "missing_file"


class UnusableAudio(InvalidRequest):
    """Audio that cannot be transcribed. `rejection` says why: a name of `AudioRejection`, and a number."""

    rejection: tuple[str, float] = ("UNREADABLE", 0)


class EmptyAudio(UnusableAudio):
    """The file has no bytes, or its container no samples."""

    code = "empty_audio"


class InvalidAudio(UnusableAudio):
    """No decoder recognises the bytes as audio."""

    code = "invalid_audio"


class DecoderUnavailable(ServiceError):
    """No process can decode a file now: workers, memory or descriptors have run out, or the machine is too busy."""

    status = 503
    code = "decoder_unavailable"


class AudioTooLong(UnusableAudio):
    """The audio is longer than `PARAKEET_MAX_AUDIO_SECONDS`."""

    status = 413
    code = "audio_too_long"


class UploadTooLarge(InvalidRequest):
    """The body is larger than `PARAKEET_MAX_UPLOAD_MB`."""

    status = 413
    code = "upload_too_large"


class UnsupportedEncoding(InvalidRequest):
    """The body is compressed."""

    status = 415
    code = "unsupported_encoding"

    extra_headers: ClassVar[Mapping[str, str]] = {"Accept-Encoding": "identity"}
    """Names the encodings that are accepted (RFC 9110, 15.5.16)."""


class UploadTooSlow(InvalidRequest):
    """The body arrives too slowly, or not at all."""

    status = 408
    code = "upload_timeout"


class InvalidApiKey(InvalidRequest):
    """The key is missing, unknown or expired."""

    status = 401
    code = "invalid_api_key"

    extra_headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}
    """Names the way to send a key (RFC 6750)."""


class TooManyForKey(ServiceError):
    """The key has `PARAKEET_MAX_CONCURRENT_PER_KEY` requests and sessions in progress."""

    status = 429
    type = "rate_limit_exceeded"
    code = "rate_limit_exceeded"


class TooManyForClient(TooManyForKey):
    """The address has `PARAKEET_MAX_CONCURRENT_PER_CLIENT` requests and sessions in progress."""


class ModelNotReady(ServiceError):
    """The model is still loading."""

    status = 503
    code = "model_not_ready"


class QueueFull(ServiceError):
    """As many requests, or as much decoded audio, as may wait are waiting."""

    status = 429
    type = "rate_limit_exceeded"
    code = "queue_full"


class TooManySessions(ServiceError):
    """`PARAKEET_MAX_SESSIONS` realtime sessions are open."""

    status = 503
    code = "too_many_sessions"


class QueueTimeout(ServiceError):
    """The request waited in the queue for longer than `PARAKEET_MAX_QUEUE_WAIT_S`."""

    status = 503
    code = "queue_timeout"


class ShuttingDown(ServiceError):
    """The server is shutting down and takes no new work."""

    status = 503
    code = "shutting_down"


class ModelFailed(ServiceError):
    """The model or its device has failed permanently. The process is about to end; its supervisor restarts it."""

    status = 503
    code = "model_failed"


class OutOfMemory(ServiceError):
    """The device has too little memory for this clip, even when the clip runs alone."""

    status = 503
    code = "out_of_memory"


class TranscriptionFailed(ServiceError):
    """The model raised on this clip, even when the clip ran alone."""

    code = "transcription_failed"


class DeviceLost(Exception):
    """The device no longer computes in this process. Only a new process may help."""


class ClientGone(Exception):
    """The client disconnected before its answer was ready."""


SERVER_ANSWER = "server_answer"
"""Key in the `state` of a request that the server answered in place of the application, which had begun to serve it.
The value is the status and the error's code."""


class ModelUnavailable(Exception):
    """The model cannot be loaded. The message is one sentence that says what to do."""
