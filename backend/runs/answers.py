"""What the run routes take and give. Every field is always there; null means unknown, or not yet."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from backend.configs.answers import Launcher

State = Literal["queued", "starting", "running", "stopping", "finished", "failed", "stopped", "lost"]
Device = Literal["auto", "cpu", "gpu", "tpu"]
StepColumn = Literal[
    "loss",
    "grad_norm",
    "param_norm",
    "learning_rate",
    "tokens",
    "step_seconds",
    "tokens_per_second",
    "epoch",
    "model_flops_utilization",
    "device_memory_bytes",
    "device_memory_peak_bytes",
]
STEP_COLUMNS: tuple[StepColumn, ...] = (
    "loss",
    "grad_norm",
    "param_norm",
    "learning_rate",
    "tokens",
    "step_seconds",
    "tokens_per_second",
    "epoch",
    "model_flops_utilization",
    "device_memory_bytes",
    "device_memory_peak_bytes",
)

Value = float | Literal["NaN", "Infinity", "-Infinity"] | None
"""A step's number; a word where it was none, null where the step said nothing."""

# Checked by evidence.spec, which says what is wrong in the words of the command line.
Setting = Annotated[
    Any,
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "integer"}, {"type": "number"}, {"type": "string"}]}),
]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f]+$")]


class RunRequest(BaseModel):
    """``config`` names a file of training/configs; ``spec`` is a config's content. One of the two."""

    model_config = ConfigDict(extra="forbid")

    config: str | None = Field(None, max_length=200, description="Name or path of a shipped config")
    spec: dict[str, Any] | None = Field(None, description="A config's content, instead of a shipped one")
    overrides: dict[str, Setting] = Field(default_factory=dict, description="Settings by dotted key")
    name: str | None = Field(None, description="Shown instead of the config's name")
    notes: str = Field("", max_length=10_000)
    tags: list[Tag] = Field(default_factory=list, max_length=20)
    device: Device | None = Field(None, description="Shorthand for the override of the setting device")
    launcher: Annotated[Launcher, Field(description="This machine, or a session that Kaggle lends")] = "local"


class RerunRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    overrides: dict[str, Setting] = Field(default_factory=dict, description="Laid over those of the run")
    name: str | None = Field(None, description="Shown instead of the run's name")


class LabelRequest(BaseModel):
    """What is given is replaced, the rest stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    notes: str | None = Field(None, max_length=10_000)
    tags: list[Tag] | None = Field(None, max_length=20)
    archived: bool | None = None


class MoveRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    position: int = Field(ge=1, le=1_000_000, description="1: next on its device; beyond the end counts as the end")


class SealRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, description="Name of the bundle; the run's name if it is not given")


class Alert(BaseModel):
    """What a watcher noticed, and holds or held when the run ended."""

    code: str = Field(description="not_finite, divergence, no_step, silent, throughput or disk")
    message: str
    since: str


class RunSummary(BaseModel):
    id: str
    name: str
    state: State
    reason: str = Field(description="One sentence on why the run stands where it stands; may be empty")
    phase: str | None = Field(description="loading, building, compiling, training, evaluating or saving")
    step: int = Field(description="Steps done; 0 before the first")
    steps: int = Field(description="Steps asked for")
    loss: float | None
    exact_match: float | None = Field(description="Share of held-out rows answered right, at the latest evaluation")
    learning_rate: float | None
    tokens_per_second: float | None
    device: Device = Field(description="The device that was asked for")
    hardware: str | None = Field(description="The devices that were found, e.g. 1 × cpu")
    config: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    eta_seconds: float | None
    queue_position: int | None = Field(description="1: next on its device; null unless queued")
    parameters: int | None
    notes: str
    tags: list[str]
    archived: bool = Field(description="Put aside: kept and shown on demand")
    bundles: list[str] = Field(description="Names of the bundles sealed from this run")
    alerts: list[Alert]
    spark: list[float] = Field(description="At most 40 losses, spread over the steps asked for")


class Overridden(BaseModel):
    key: str
    declared: bool | int | float | str
    effective: bool | int | float | str


class RunError(BaseModel):
    """Why a run failed. ``log_tail``: the last 40 lines of its output."""

    stage: str
    type: str
    message: str
    log_tail: str


class RunWarning(BaseModel):
    time: str | None
    code: str
    message: str


class MemoryCompared(BaseModel):
    """The compiler's bytes on one device, before the run and on it; ``difference``: what the run needs more."""

    foretold_arguments: int
    compiled_arguments: int
    foretold_peak: int
    compiled_peak: int
    difference: int


class RunPreflight(BaseModel):
    """What the newest preflight of this very step said when the run was asked for."""

    id: str | None = Field(description="The preflight, while it is there")
    topology: str
    fits: bool
    sentence: str
    created_at: str
    peak_bytes: int | None
    limit_bytes: int
    compared: MemoryCompared | None
    not_compared_because: str = Field(description="Empty where it is compared")


class Run(RunSummary):
    spec: dict[str, Any] = Field(description="The effective spec")
    overrides: list[Overridden]
    config_text: str = Field(description="The declared config, byte for byte")
    launch: dict[str, Any] | None = Field(description="Command, host and provenance, from the recorder")
    devices: dict[str, Any] | None = Field(description="The latest event of this kind, as for model, data, program")
    model: dict[str, Any] | None
    data: dict[str, Any] | None
    program: dict[str, Any] | None
    nonce: str
    error: RunError | None
    warnings: list[RunWarning]
    preflight: RunPreflight | None
    directory: str


class RunPage(BaseModel):
    runs: list[RunSummary]
    total: int
    next_cursor: str | None


class Columns(BaseModel):
    """``columns[name][i]`` belongs to ``step[i]``. Where buckets thinned them out, every extreme value is kept."""

    step: list[int]
    columns: dict[str, list[Value]]


class SystemColumns(BaseModel):
    """What all of the run's processes use together, sampled every two seconds: item i of each is of ``time[i]``."""

    time: list[str]
    cpu_percent: list[float] = Field(description="100 is one core")
    rss_bytes: list[int] = Field(description="Resident memory; what they share counts once for each")
    processes: list[int]


class LogSlice(BaseModel):
    """Bytes ``offset`` to ``next_offset`` of a log of ``size`` bytes, cut at line ends where there are any."""

    offset: int
    next_offset: int
    size: int
    text: str


class Checkpoint(BaseModel):
    time: str
    step: int
    path: str
    bytes: int
    tree_sha256: str
    parameters_digest: str
    optimizer_digest: str
    seconds: float
    on_disk: bool = Field(description="False once newer checkpoints have pushed it out")


class Checkpoints(BaseModel):
    checkpoints: list[Checkpoint]


class Sample(BaseModel):
    time: str
    step: int
    prompt: str
    expected: str
    text: str


class Samples(BaseModel):
    samples: list[Sample]


class Evaluation(BaseModel):
    time: str
    step: int
    loss: float
    items: int
    correct: int
    exact_match: float
    seconds: float


class Evaluations(BaseModel):
    evaluations: list[Evaluation]


class Prediction(BaseModel):
    id: str | int
    prompt: str
    expected: str
    text: str
    correct: bool


class Predictions(BaseModel):
    """``step``: of the evaluation they belong to; null where there is none."""

    step: int | None
    predictions: list[Prediction]


class Hello(BaseModel):
    """First message of a stream."""

    server_time: str


class MetricsBlock(BaseModel):
    """At most 5,000 steps of one run, each exactly once."""

    run: str
    columns: dict[str, list[Value]] = Field(description="step and every column of Columns")


class EventsBlock(BaseModel):
    """Lines of events.jsonl that are not steps, in order."""

    run: str
    events: list[dict[str, Any]]


class LogBlock(BaseModel):
    """Whole lines of the log; ``offset`` is the byte behind them."""

    run: str
    offset: int
    text: str


class Restart(BaseModel):
    """The run's log was cut off or replaced: what was sent of it counts no more, and it comes from its beginning."""

    run: str


class Gone(BaseModel):
    """The run was moved to the trash, or its folder is gone."""

    run: str


StreamEvent = Hello | Restart | Gone | RunSummary | MetricsBlock | EventsBlock | LogBlock
