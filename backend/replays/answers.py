"""What the replay routes take and give. Null means not yet, or does not apply."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from evidence.job_folder import Progress


class ReplayRequest(BaseModel):
    """A segment named by its two ends, or drawn: by ``draw``, or where that is empty by a nonce of the server's own."""

    model_config = ConfigDict(extra="forbid")

    from_step: int | None = Field(None, ge=0, le=2**53 - 1, description="An included state, where it begins")
    to_step: int | None = Field(None, ge=1, le=2**53 - 1, description="The segment's last step")
    draw: str = Field("", max_length=200, description="What draws the segment, together with the seal")


class Compared(BaseModel):
    """One statistic: the largest relative difference, and where. ``control``: the same with a wrong learning rate."""

    what: str
    found: float
    cap: float
    where: str
    within: bool
    control: float


class Answers(BaseModel):
    items: int
    same: int
    ties: int = Field(description="Differ where two tokens are so near that rounding decides")
    because: str = Field(description="Why none was generated again; may be empty")


class ReplayResult(BaseModel):
    sentence: str
    agrees: bool = Field(description="No check of the replay failed or could not say")
    bit_equal: bool
    from_step: int
    to_step: int
    chosen: Literal["drawn", "asked"]
    nonce: str
    tier: Literal["T0", "T1", "T2", "T3"]
    tier_meaning: str
    tier_because: str
    device: str
    compared: list[Compared]
    control_factor: float
    control_noticed: bool
    samples: Answers
    predictions: Answers
    seconds: float
    made_at: str


class ReplayJob(BaseModel):
    id: str
    bundle: str
    seal: str
    current: bool = Field(description="The bundle still has this seal; otherwise the replay says nothing of it")
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    message: str = Field(description="One sentence on why it failed or was cancelled; may be empty")
    from_step: int | None = Field(description="Null: drawn")
    to_step: int | None
    draw: str
    progress: Progress | None = Field(description="The latest that the job said")
    queue_position: int | None = Field(description="1: next; null unless queued")
    asked_at: str
    started_at: str | None
    ended_at: str | None
    result: ReplayResult | None = Field(description="Once it is done, and while the bundle has this seal")


class ReplayJobs(BaseModel):
    replays: list[ReplayJob]
