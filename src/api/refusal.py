"""The answer in which an error is told, over HTTP and in place of a WebSocket alike."""

from starlette.responses import JSONResponse

from src.errors import ServiceError


def refusal(error: ServiceError) -> JSONResponse:
    """Return the answer that tells of an error: its status, OpenAI's body, and when to try again."""
    return JSONResponse(error.body, error.status, headers=error.headers)
