"""The trash routes: deleted runs, which can be had back until they are removed for good."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from backend.runs import reading
from backend.runs.answers import Run
from backend.server import Here
from backend.trash.answers import Trash

router = APIRouter(prefix="/trash", tags=["runs"])

Id = Annotated[str, Path(max_length=100)]


@router.get("", operation_id="listTrash")
def list_trash(server: Here) -> Trash:
    return server.trash.contents()


@router.delete("", operation_id="emptyTrash", status_code=204)
def empty_trash(server: Here) -> None:
    """Remove every run in the trash for good. Bundles sealed from them stay."""
    server.trash.empty()


@router.post("/{id}/restore", operation_id="restoreRun")
def restore_run(server: Here, id: Id) -> Run:
    """Put a run back into the list, as it was."""
    return reading.whole(server, server.trash.restore(id))


@router.delete("/{id}", operation_id="purgeRun", status_code=204)
def purge_run(server: Here, id: Id) -> None:
    """Remove a run for good. Bundles sealed from it stay."""
    server.trash.remove(id)
