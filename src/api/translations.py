"""`POST /v1/audio/translations`: not what a transcription model does, and said so."""

from fastapi import APIRouter

from src.errors import UnsupportedModel

router = APIRouter(tags=["audio"])


@router.post("/v1/audio/translations", include_in_schema=False)
async def translate() -> None:
    """Answer 400 `unsupported_model`: Parakeet writes down what is said, in the language in which it is said."""
    message = "The model transcribes and does not translate. Use /v1/audio/transcriptions."
    raise UnsupportedModel(message, param="model")
