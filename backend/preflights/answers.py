"""What the preflight routes take and give. Null means not yet, or does not apply."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.runs.answers import Setting
from evidence.job_folder import Progress
from evidence.preflight import Report

PreflightState = Literal["queued", "running", "done", "failed", "cancelled"]


class PreflightRequest(BaseModel):
    """``config`` names a file of training/configs; ``spec`` is a config's content. One of the two."""

    model_config = ConfigDict(extra="forbid")

    config: str | None = Field(None, max_length=200, description="Name or path of a shipped config")
    spec: dict[str, Any] | None = Field(None, description="A config's content, instead of a shipped one")
    overrides: dict[str, Setting] = Field(default_factory=dict, description="Settings by dotted key")
    topology: str = Field(max_length=200, description="v5e-8 and its like; GET /preflights lists them")
    search: bool = Field(False, description="Compile the sensible plans and choose the fastest that fits")
    largest: bool = Field(False, description="Also find the largest batch that fits")
    fresh: bool = Field(False, description="Compile again, also where the answer is known")


class PreflightSummary(BaseModel):
    id: str
    state: PreflightState
    reason: str = Field(description="One sentence on why it failed or was cancelled; may be empty")
    name: str = Field(description="The spec's own")
    config: str
    topology: str
    search: bool
    largest: bool
    batch_size: int = Field(description="As asked for, as is the sequence length")
    sequence_length: int
    created_at: str
    started_at: str | None
    ended_at: str | None
    queue_position: int | None = Field(description="1: next; null unless queued")
    progress: Progress | None = Field(description="The latest that the job said")
    fits: bool | None
    verdict: str | None = Field(description="The answer in one sentence, once there is one")
    peak_bytes: int | None = Field(description="On one device with the chosen plan, by the compiler")
    limit_bytes: int | None


class Preflight(PreflightSummary):
    spec: dict[str, Any] = Field(description="The effective spec whose step is compiled")
    report: Report | None
    cached: bool = Field(description="It was asked for before; nothing new was started")


class TopologyChoice(BaseModel):
    """A described accelerator; ``memory_bytes`` is of one device."""

    name: str
    device_kind: str
    devices: int
    memory_bytes: int


class Preflights(BaseModel):
    preflights: list[PreflightSummary]
    total: int
    topologies: list[TopologyChoice]
