"""Everything that can go wrong for a caller, and the one body in which it is told.

The body is OpenAI's: `{"error": {"message", "type", "param", "code"}}`; its SDKs read all four keys
(platform.openai.com, "Error codes"). Errors are raised where they are known and translated once, in `src.app`.
"""

import math
from collections.abc import Mapping
from copy import copy
from typing import ClassVar, Self


class ServiceError(Exception):
    """A request that cannot be served, with the sentence that its sender reads.

    `status` is the HTTP status, `type` and `code` are the words of OpenAI's error body, `param` names the field at
    fault and `retry_after_s` is set where trying again later may help.
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
        """The HTTP headers of the answer: `Retry-After` in whole seconds, at least 1, where a retry may help."""
        headers = dict(self.extra_headers)
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after_s)))
        return headers

    def within(self, path: str) -> Self:
        """Return this error for a field that is inside the object at `path`, such as `session.audio`."""
        error = copy(self)
        error.param = f"{path}.{self.param}"
        return error


def error_body(
    message: str, *, type: str, code: str | None, param: str | None = None
) -> dict[str, dict[str, str | None]]:
    """Return OpenAI's error body around `message`."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


class InvalidRequest(ServiceError):
    """A field or a body that is not of the form the route takes."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class UnsupportedFormat(InvalidRequest):
    """A response format that the model cannot fill."""

    code = "unsupported_format"


class UnsupportedLanguage(InvalidRequest):
    """A language that the model does not know."""

    code = "unsupported_language"


class UnsupportedModel(InvalidRequest):
    """A task that the model does not do."""

    code = "unsupported_model"


class UnknownPath(InvalidRequest):
    """A path that no route has, or not for this protocol."""

    status = 404
    code = "not_found"


class MethodNotAllowed(InvalidRequest):
    """A method that the path does not take."""

    status = 405
    code = "method_not_allowed"


class UpgradeRequired(InvalidRequest):
    """A plain request to the path of a WebSocket."""

    status = 426
    code = "upgrade_required"
    extra_headers: ClassVar[Mapping[str, str]] = {"Upgrade": "websocket", "Connection": "upgrade"}


class OriginNotAllowed(InvalidRequest):
    """A web site that is not in `PARAKEET_CORS_ORIGINS`."""

    code = "origin_not_allowed"


class ModelNotFound(InvalidRequest):
    """A model name that nothing here answers to."""

    status = 404
    code = "model_not_found"


class MissingFile(InvalidRequest):
    """A transcription request without audio."""

    code = "missing_file"


class UnusableAudio(InvalidRequest):
    """Audio that cannot be transcribed. `rejection` says why: a name of `AudioRejection`, and a number."""

    rejection: tuple[str, float] = ("UNREADABLE", 0)


class EmptyAudio(UnusableAudio):
    """A file of no bytes, or a container without a single sample."""

    code = "empty_audio"


class InvalidAudio(UnusableAudio):
    """Bytes that no decoder takes for audio."""

    code = "invalid_audio"


class DecoderUnavailable(ServiceError):
    """No process can decode a file now: places, memory or descriptors have run out, or the machine is too busy."""

    status = 503
    code = "decoder_unavailable"


class AudioTooLong(UnusableAudio):
    """Audio beyond `PARAKEET_MAX_AUDIO_SECONDS`."""

    status = 413
    code = "audio_too_long"


class UploadTooLarge(InvalidRequest):
    """A body beyond `PARAKEET_MAX_UPLOAD_MB`."""

    status = 413
    code = "upload_too_large"


class UnsupportedEncoding(InvalidRequest):
    """A body that is compressed."""

    status = 415
    code = "unsupported_encoding"

    extra_headers: ClassVar[Mapping[str, str]] = {"Accept-Encoding": "identity"}
    """How a body may be encoded (RFC 9110, 15.5.16)."""


class UploadTooSlow(InvalidRequest):
    """A body that comes too slowly, or not at all."""

    status = 408
    code = "upload_timeout"


class InvalidApiKey(InvalidRequest):
    """No key, or one that is not known (any more)."""

    status = 401
    code = "invalid_api_key"

    extra_headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}
    """How a key is shown (RFC 6750)."""


class TooManyForKey(ServiceError):
    """More requests and sessions at a time than `PARAKEET_MAX_CONCURRENT_PER_KEY`."""

    status = 429
    type = "rate_limit_exceeded"
    code = "rate_limit_exceeded"


class TooManyForClient(TooManyForKey):
    """More requests and sessions at a time than `PARAKEET_MAX_CONCURRENT_PER_CLIENT`."""


class TooManySecrets(ServiceError):
    """More temporary keys than are kept at a time."""

    status = 429
    type = "rate_limit_exceeded"
    code = "too_many_client_secrets"


class ModelNotReady(ServiceError):
    """The model is still loading."""

    status = 503
    code = "model_not_ready"


class QueueFull(ServiceError):
    """More requests, or more decoded audio, than may wait."""

    status = 429
    type = "rate_limit_exceeded"
    code = "queue_full"


class TooManySessions(ServiceError):
    """More realtime sessions than `PARAKEET_MAX_SESSIONS`."""

    status = 503
    code = "too_many_sessions"


class QueueTimeout(ServiceError):
    """A request that waited in the queue for longer than `PARAKEET_MAX_QUEUE_WAIT_S`."""

    status = 503
    code = "queue_timeout"


class ShuttingDown(ServiceError):
    """The server is stopping and takes no new work."""

    status = 503
    code = "shutting_down"


class ModelFailed(ServiceError):
    """The model or its device has failed for good; the process is about to end, and to be started again."""

    status = 503
    code = "model_failed"


class OutOfMemory(ServiceError):
    """The device has no memory for this clip, also when it ran alone."""

    status = 503
    code = "out_of_memory"


class TranscriptionFailed(ServiceError):
    """The model raised on this clip, also when it ran alone."""

    code = "transcription_failed"


class DeviceLost(Exception):
    """The device computes nothing any more in this process; only a new process may help."""


class ClientGone(Exception):
    """The client left before its answer was ready; nobody reads one."""


class ModelUnavailable(Exception):
    """The model cannot be loaded at all; the message is one sentence that says what to do."""
