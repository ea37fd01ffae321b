"""The errors with which the scheduler ends jobs and requests, in the words that clients read."""

from src.engine.device_errors import MemoryExhausted
from src.errors import (
    ModelFailed,
    ModelNotReady,
    OutOfMemory,
    QueueTimeout,
    ServiceError,
    ShuttingDown,
    TranscriptionFailed,
    UploadTooSlow,
)

READY_RETRY_S = 5.0
"""`Retry-After` while the model loads or the server stops: about the time that either takes."""


def not_ready() -> ModelNotReady:
    """Return the error of a request that comes before the model is loaded."""
    return ModelNotReady("The model is still loading. Try again later.", retry_after_s=READY_RETRY_S)


def shutting_down() -> ShuttingDown:
    """Return the error of a request that comes or is still in progress when the server stops."""
    return ShuttingDown("The server is shutting down. Try again later.", retry_after_s=READY_RETRY_S)


def model_failed() -> ModelFailed:
    """Return the error of all requests once the model has failed for good."""
    return ModelFailed("The model has failed; the service starts again.", retry_after_s=READY_RETRY_S)


def upload_too_slow() -> UploadTooSlow:
    """Return the error of an upload whose slot goes to another."""
    message = "The upload was too slow, and others needed its place. Try again later."
    return UploadTooSlow(message, retry_after_s=READY_RETRY_S)


def waited_too_long(limit_s: float) -> QueueTimeout:
    """Return the error of a clip that has waited for `limit_s` seconds."""
    message = f"The request waited in the queue for longer than {limit_s:g} s. Try again later."
    return QueueTimeout(message, retry_after_s=limit_s)


def lane_failed() -> TranscriptionFailed:
    """Return the error of jobs whose batch was lost by a fault outside the model."""
    return TranscriptionFailed("The server met an unexpected error. Try again.")


def failed_alone(error: Exception) -> ServiceError:
    """Return the error for the sender of a job with which the model failed though it was alone."""
    if isinstance(error, MemoryExhausted):
        message = (
            "There is not enough memory for this audio at the moment. Try again later, or send it in shorter pieces."
        )
        return OutOfMemory(message, retry_after_s=READY_RETRY_S)
    return TranscriptionFailed("The model could not transcribe this audio. Other requests are not affected.")
