"""GET /schemas: JSON Schemas of what a bundle holds, as docs/schemas has them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel

from backend.errors import NotFound
from evidence.schemas import schemas

router = APIRouter(prefix="/schemas", tags=["evidence"])


class Schemas(BaseModel):
    schemas: list[str]


@router.get("", operation_id="listSchemas")
def list_schemas() -> Schemas:
    return Schemas(schemas=sorted(schemas()))


@router.get("/{name}", operation_id="showSchema")
def show_schema(name: Annotated[str, Path(max_length=100)]) -> dict[str, Any]:
    """A JSON Schema (2020-12)."""
    found = schemas().get(name)
    if found is None:
        raise NotFound(f"there is no schema {name!r}; there are {', '.join(sorted(schemas()))}")
    return found
