"""Cross-origin requests: which web pages may call the API from a browser."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from src.api.errors import error_response
from src.errors import OriginNotAllowed


class CrossOrigin(CORSMiddleware):
    """ASGI middleware: allows the pages of some origins to call, with any method and header.

    It also allows calls from a public page to a service in a private network (wicg.github.io/private-network-access).

    Args:
        app: the application behind it.
        origins: the allowed origins in lower case; `*` among them allows all.
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
        """Return whether pages of `origin` may call. Case does not matter in its scheme and host."""
        return super().is_allowed_origin(origin.lower())

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the answer to the preflight request, which a browser sends before a page's request."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        message = f"{bytes(answer.body).decode()}. PARAKEET_CORS_ORIGINS says whose pages may call here."
        response = error_response(OriginNotAllowed(message))
        response.headers["vary"] = answer.headers["vary"]
        return response
