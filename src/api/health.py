"""Probes: whether the process lives, and whether it takes requests."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether transcription requests are taken."""

    ready: bool


@router.get("/healthz")
async def healthz() -> Health:
    """Answer 200 as soon as the port is open, also while the model loads."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(request: Request, response: Response) -> Readiness:
    """Answer 200 once the model is loaded and warm and the lanes run, 503 before and while shutting down."""
    ready: bool = request.app.state.scheduler.ready
    if not ready:
        response.status_code = 503
    return Readiness(ready=ready)
