"""GET /health: whether this server is well, and how busy."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from backend.server import Here
from evidence import __version__

router = APIRouter(tags=["health"])


class RunCounts(BaseModel):
    running: int
    queued: int


class Health(BaseModel):
    status: Literal["ok", "troubled"]
    problems: list[str] = Field(description="What is not as it should be, in sentences; empty when all is well")
    version: str
    home: str
    runs: RunCounts


@router.get("/health", operation_id="showHealth")
def show_health(server: Here) -> Health:
    running, queued = server.store.counts()
    problems = [text for text in (server.follower.problem, server.store.database.notice) if text]
    return Health(
        status="troubled" if server.follower.problem else "ok",
        problems=problems,
        version=__version__,
        home=str(server.settings.home),
        runs=RunCounts(running=running, queued=queued),
    )
