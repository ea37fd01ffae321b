"""`GET /v1/models` and `GET /v1/models/{id}`: the served model under each of its names."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from src.api.dependencies import Services, ServicesDep
from src.api.errors import documented_errors

router = APIRouter(tags=["models"])


class ModelObject(BaseModel):
    """A model name (platform.openai.com, "The model object")."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """Unix seconds."""
    owned_by: str


class ModelList(BaseModel):
    """All model names, on one page."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


@router.head("/v1/models", include_in_schema=False)
@router.get("/v1/models")
async def models(services: ServicesDep) -> ModelList:
    """List the served model, its own name first."""
    return ModelList(data=[_model(services, name) for name in services.served_model.names])


# `:path` accepts ids with a slash, which SDKs escape and people do not.
@router.head("/v1/models/{name:path}", include_in_schema=False)
@router.get("/v1/models/{name:path}", responses=documented_errors(404))
async def model(request: Request, name: str, services: ServicesDep) -> ModelObject:
    """Describe one name of the served model."""
    if not services.served_model.stands_for(name):
        hint = services.known_paths.hint(request.scope, name, min_similarity=1)
        raise services.served_model.not_found(name, hint)
    return _model(services, name)


def _model(services: Services, name: str) -> ModelObject:
    organisation, slash, _ = services.served_model.name.partition("/")
    return ModelObject(id=name, created=services.created_at, owned_by=organisation if slash else "local")
