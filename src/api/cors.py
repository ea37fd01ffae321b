"""Which web sites' pages may call from a browser."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from src.api.errors import error_response
from src.errors import OriginNotAllowed


class CrossOrigin(CORSMiddleware):
    """ASGI middleware: tells browsers that the pages of some origins may call, with any method and header.

    They may also where the service is in a private network and the page is not (wicg.github.io/private-network-access).

    Args:
        app: what is behind it.
        origins: the origins in small letters, or `*` among them for all.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],  # OpenAI's SDK sends a dozen of its own
            allow_private_network=True,
            expose_headers=["x-request-id", "retry-after", "openai-processing-ms"],
        )

    def is_allowed_origin(self, origin: str) -> bool:
        """Return whether pages of `origin` may call; scheme and host have no case."""
        return super().is_allowed_origin(origin.lower())

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the answer to what a browser asks before it sends a page's request."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        message = f"{bytes(answer.body).decode()}. PARAKEET_CORS_ORIGINS says whose pages may call here."
        response = error_response(OriginNotAllowed(message))
        response.headers["vary"] = answer.headers["vary"]
        return response
