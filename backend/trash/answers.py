"""What the trash routes give."""

from __future__ import annotations

from pydantic import BaseModel, Field

from backend.runs.answers import State


class TrashedRun(BaseModel):
    """A run in the trash. State and step as they were when it was deleted; unknown of a folder that somebody else put
    there."""

    id: str
    name: str
    config: str
    notes: str
    tags: list[str]
    state: State | None
    step: int | None
    steps: int
    created_at: str
    deleted_at: str
    bytes: int = Field(description="What its files take on disk")


class Trash(BaseModel):
    runs: list[TrashedRun] = Field(description="Latest deleted first")
    bytes: int
