"""`GET /v1/models` and `GET /v1/models/{id}`: the served model, under each name that stands for it."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from src.api.directory import Directory
from src.api.openapi import errors
from src.wire.model_names import ServedModel

router = APIRouter(tags=["models"])


class ModelObject(BaseModel):
    """A model name (platform.openai.com, "The model object")."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """Unix seconds."""
    owned_by: str


class ModelList(BaseModel):
    """All of them; there are no pages."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


def _model(request: Request, name: str) -> ModelObject:
    served: ServedModel = request.app.state.served
    owner = served.name.partition("/")[0] if "/" in served.name else "local"
    return ModelObject(id=name, created=request.app.state.created, owned_by=owner)


@router.head("/v1/models", include_in_schema=False)
@router.get("/v1/models")
async def models(request: Request) -> ModelList:
    """List the served model, its own name first."""
    served: ServedModel = request.app.state.served
    return ModelList(data=[_model(request, name) for name in served.names])


# `:path` takes ids with a slash, which SDKs send as %2F and people as it is.
@router.head("/v1/models/{name:path}", include_in_schema=False)
@router.get("/v1/models/{name:path}", responses=errors(404))
async def model(request: Request, name: str) -> ModelObject:
    """Describe one name of the served model."""
    served: ServedModel = request.app.state.served
    if not served.stands_for(name):
        directory: Directory = request.app.state.directory
        raise served.not_found(name, directory.hint(request.scope, name, likeness=1))
    return _model(request, name)
