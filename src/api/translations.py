"""`POST /v1/audio/translations`: not what a transcription model does, and said so."""

from fastapi import APIRouter

from src.api.openapi import errors
from src.errors import UnsupportedModel

router = APIRouter(tags=["audio"])


@router.post("/v1/audio/translations", status_code=400, responses=errors(400))
async def translate() -> None:
    """Answer 400 `unsupported_model`: Parakeet writes down what is said, in the language in which it is said."""
    message = "The model transcribes and does not translate. Use /v1/audio/transcriptions."
    raise UnsupportedModel(message, param="model")
