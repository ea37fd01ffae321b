"""The routes under Azure's paths (learn.microsoft.com, "Azure OpenAI REST API reference").

Azure's clients name a deployment in the path, in the query or as the model. Every name stands for the served model.
`api-version` is ignored.
"""

from fastapi import APIRouter

from src.api.client_secrets import create_client_secret, create_transcription_session
from src.api.models import model, models
from src.api.realtime import realtime, upgrade_required
from src.api.transcriptions import transcribe, translate

ROOTS = ("/openai/v1", "/openai", "/openai/deployments/{deployment:path}")  # a name with a slash comes as %2F
"""Prefixes of the paths: that of newer clients, then those of clients with an `api-version`."""


def _aliases() -> APIRouter:
    """Return the routes, each under all prefixes."""
    router = APIRouter(include_in_schema=False)
    for root in ROOTS:
        router.post(f"{root}/audio/transcriptions")(transcribe)
        router.post(f"{root}/audio/translations")(translate)
        router.websocket(f"{root}/realtime")(realtime)
        router.api_route(f"{root}/realtime", methods=["GET", "HEAD"])(upgrade_required)
        router.post(f"{root}/realtime/client_secrets")(create_client_secret)
        router.post(f"{root}/realtime/transcription_sessions")(create_transcription_session)
        router.api_route(f"{root}/models", methods=["GET", "HEAD"])(models)
        router.api_route(f"{root}/models/{{name:path}}", methods=["GET", "HEAD"])(model)
    return router


router = _aliases()
