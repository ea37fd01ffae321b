"""Probes: liveness and readiness."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from src.api.dependencies import ServicesDep

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The state of the process."""

    status: Literal["ok", "failed"]


class Readiness(BaseModel):
    """Whether transcription requests are accepted."""

    ready: bool


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", responses={503: {"model": Health}})
async def healthz(services: ServicesDep, response: Response) -> Health:
    """Answer 200 as soon as the port is open, even while the model loads; 503 once the model has failed permanently."""
    has_failed = services.scheduler.model_failed
    if has_failed:
        response.status_code = 503
    return Health(status="failed" if has_failed else "ok")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(services: ServicesDep, response: Response) -> Readiness:
    """Answer 200 while the model is loaded and the service accepts requests, else 503."""
    ready = services.scheduler.ready
    if not ready:
        response.status_code = 503
    return Readiness(ready=ready)
