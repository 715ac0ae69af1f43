"""The preflight routes: each translates one call; the library and the jobs do the work."""

from __future__ import annotations

from pathlib import Path as Folder
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import FileResponse

from backend.errors import NotFound
from backend.preflights import library
from backend.preflights.answers import Preflight, PreflightRequest, Preflights
from backend.runs import reading
from backend.runs.answers import LogSlice
from backend.runs.reading import LogPart
from backend.server import Here
from evidence import preflight

router = APIRouter(prefix="/preflights", tags=["preflights"])


def _known(server: Here, id: Annotated[str, Path(max_length=100)]) -> Folder:
    return server.preflights.find(id)


Known = Annotated[Folder, Depends(_known)]


@router.post(
    "",
    status_code=201,
    operation_id="createPreflight",
    responses={200: {"model": Preflight, "description": "An equal one is known, or going on"}},
)
def create_preflight(server: Here, request: PreflightRequest, response: Response) -> Preflight:
    """Ask whether a run would fit. It is compiled as soon as no other preflight is."""
    asked = library.asked(server.settings, request)
    folder, known = server.jobs.admit(asked, lambda: None if request.fresh else server.preflights.equal(asked))
    response.status_code = 200 if known else 201
    response.headers["Location"] = f"/preflights/{folder.name}"
    return server.preflights.whole(folder, cached=known)


@router.get("", operation_id="listPreflights")
def list_preflights(server: Here, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Preflights:
    """Preflights, newest first, and the topologies that may be asked for."""
    return server.preflights.page(limit)


@router.get("/{id}", operation_id="showPreflight")
def show_preflight(server: Here, folder: Known) -> Preflight:
    return server.preflights.whole(folder)


@router.post("/{id}/cancel", operation_id="cancelPreflight")
def cancel_preflight(server: Here, folder: Known) -> Preflight:
    """Take it back; its job is killed."""
    server.jobs.cancel(folder)
    return server.preflights.whole(folder)


@router.get("/{id}/log", operation_id="showPreflightLog")
def show_preflight_log(folder: Known, part: LogPart) -> LogSlice:
    """A piece of what the job and the compiler printed."""
    return reading.log(folder, part, fold=False)


@router.get(
    "/{id}/report.json",
    operation_id="showPreflightReport",
    response_class=FileResponse,
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
def show_preflight_report(folder: Known) -> FileResponse:
    """The report as the job wrote it, also to a browser."""
    path = folder / preflight.REPORT
    if not path.is_file():
        raise NotFound(f"preflight {folder.name} has no report")
    return FileResponse(path, media_type="application/json")
