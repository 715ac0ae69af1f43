"""The replay routes: each translates one call; library and jobs do the work. None runs a bundle's own source."""

from __future__ import annotations

from pathlib import Path as Folder
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from backend.replays.answers import ReplayJob, ReplayJobs, ReplayRequest
from backend.runs import reading
from backend.runs.answers import LogSlice
from backend.runs.reading import LogPart
from backend.server import Here

router = APIRouter(tags=["replays"])

Name = Annotated[str, Path(max_length=100)]


def _known(server: Here, id: Annotated[str, Path(max_length=100)]) -> Folder:
    return server.replays.find(id)


Known = Annotated[Folder, Depends(_known)]


@router.post("/evidence/{name}/replays", status_code=201, operation_id="createReplay")
def create_replay(server: Here, name: Name, request: ReplayRequest, response: Response) -> ReplayJob:
    """Train a segment of the bundle again, as soon as no other replay goes on."""
    folder, _ = server.replay_jobs.admit(server.replays.asked(name, request))
    response.headers["Location"] = f"/replays/{folder.name}"
    return server.replays.job(folder)


@router.get("/evidence/{name}/replays", operation_id="listReplays")
def list_replays(server: Here, name: Name) -> ReplayJobs:
    """The bundle's replays, newest first."""
    return server.replays.of_bundle(name)


@router.get("/replays/{id}", operation_id="showReplay")
def show_replay(server: Here, folder: Known) -> ReplayJob:
    return server.replays.job(folder)


@router.post("/replays/{id}/cancel", operation_id="cancelReplay")
def cancel_replay(server: Here, folder: Known) -> ReplayJob:
    """Take it back; its job is stopped."""
    server.replay_jobs.cancel(folder)
    return server.replays.job(folder)


@router.get("/replays/{id}/log", operation_id="showReplayLog")
def show_replay_log(folder: Known, part: LogPart) -> LogSlice:
    """A piece of what the job printed."""
    return reading.log(folder, part, fold=False)
