"""Probes: whether the process lives, and whether it takes requests."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from src.api.dependencies import ServicesDep

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok", "failed"]


class Readiness(BaseModel):
    """Whether transcription requests are taken."""

    ready: bool


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", responses={503: {"model": Health}})
async def healthz(services: ServicesDep, response: Response) -> Health:
    """Answer 200 as soon as the port is open, also while the model loads; 503 once the model has failed for good."""
    has_failed = services.scheduler.model_failed
    if has_failed:
        response.status_code = 503
    return Health(status="failed" if has_failed else "ok")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(services: ServicesDep, response: Response) -> Readiness:
    """Answer 200 once the model is loaded and warm and the lanes run, 503 before and while shutting down."""
    ready = services.scheduler.ready
    if not ready:
        response.status_code = 503
    return Readiness(ready=ready)
