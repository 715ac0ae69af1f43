"""run_manifest.json and eval_summary.json: the two documents a reviewer reads first.

Nothing here is nullable. What is absent is a branch of a union that says why (``kind: not_performed``, ``because: …``).
Every number is copied from an event of the run, or recomputed from rows; none is typed by hand.

A run that ended before its first row has a manifest and a summary of its own (EarlyManifest, EarlySummary): they hold
what there is. A schema's name is its version: whoever changes what a field means, or what is recomputed from it (the
README of ``report.py``, the rule of ``plan.py``), gives the schema a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from evidence.typed import Count, GitId, InnerPath, Natural, NotNegative, Positive, Quote, Sha256, Share, Text, Utc

MANIFEST_SCHEMA: Final = "evidence/run_manifest@1"
SUMMARY_SCHEMA: Final = "evidence/eval_summary@1"
EARLY_MANIFEST_SCHEMA: Final = "evidence/early_run_manifest@1"
EARLY_SUMMARY_SCHEMA: Final = "evidence/early_eval_summary@1"
FINAL_LOSS: Final = "loss of the last optimizer step"
MEAN_LOSS: Final = "arithmetic mean of the loss over all optimizer steps"


@dataclass(frozen=True)
class File:
    """A file of this bundle."""

    path: InnerPath
    sha256: Sha256
    bytes: Natural


@dataclass(frozen=True)
class Completed:
    kind: Literal["completed"]
    exit_code: Literal[0]


@dataclass(frozen=True)
class Stopped:
    """Ended early because somebody asked."""

    kind: Literal["stopped"]
    exit_code: int
    because: Text


@dataclass(frozen=True)
class Quoted:
    """The line of the log that says why, and its number."""

    kind: Literal["quoted"]
    line: Count
    text: Quote


@dataclass(frozen=True)
class Silent:
    """The process ended without a word; ``because`` is what its end tells."""

    kind: Literal["silent"]
    because: Quote


@dataclass(frozen=True)
class Failed:
    """``exit_code``: minus the signal's number when a signal ended it."""

    kind: Literal["failed"]
    exit_code: int
    stage: Text
    error_type: Text
    error_message: Quote
    said: Quoted | Silent


@dataclass(frozen=True)
class Lost:
    """Nobody saw the process end: its exit code is unknown."""

    kind: Literal["lost"]
    because: Text


@dataclass(frozen=True)
class Attempt:
    """One process of the run, from its first word on. ``from_step``: the step whose saved state it went on from, 0 for
    the run's beginning. ``ended`` cut_off: it was killed before it could say how it ended. ``code``: the commit it was
    started from."""

    started_at: Utc
    from_step: Natural
    last_step: Natural
    ended: Literal["completed", "stopped", "failed", "cut_off"]
    code: Text


@dataclass(frozen=True)
class RunFacts:
    """``finished_at``: when the process was seen to end; of a lost run, when it spoke last."""

    name: Text
    run_id: Text
    nonce: Sha256
    created_at: Utc
    started_at: Utc
    finished_at: Utc
    notes: list[Text]
    outcome: Completed | Stopped | Failed | Lost


@dataclass(frozen=True)
class SessionLog:
    """What the process printed. The file's name is fixed for all locations; ``captured_by`` says who wrote it."""

    file: File
    format: Literal["plain-utf8"]
    captured_by: Literal["recorder"]
    line_count: Natural


@dataclass(frozen=True)
class Host:
    """The machine that trained, as its recorder saw it. Its name is a digest."""

    host_sha256: Sha256
    os: Text
    kernel: Text
    cpu_model: Text
    logical_cpus: Count
    memory_bytes: Count
    command: list[str]
    session_log: SessionLog


@dataclass(frozen=True)
class Local(Host):
    """A machine that the operator controls."""

    kind: Literal["local"]


@dataclass(frozen=True)
class Platform:
    """What the API at ``endpoint`` told of the session: which version of whose notebook, on which machine. ``notebook``
    and ``log`` as it gave them; ``session``: what the session says of itself (``evidence/session.py``)."""

    endpoint: Text
    url: Text
    owner: Text
    slug: Text
    version: Count
    kernel_id: Natural
    machine_shape: Text
    docker_image: Text
    retrieved_at: Utc
    notebook: File
    log: File
    session: File


@dataclass(frozen=True)
class Kaggle(Host):
    """A session that Kaggle lent. The host's facts are the session's own word."""

    kind: Literal["kaggle"]
    platform: Platform


@dataclass(frozen=True)
class KaggleStandIn(Host):
    """The same from another endpoint than Kaggle's own, which proves the way and nothing about Kaggle."""

    kind: Literal["kaggle_stand_in"]
    platform: Platform


@dataclass(frozen=True)
class Device:
    id: Natural
    process_index: Natural
    device_kind: Text
    coords: list[int]
    core_on_chip: Natural
    memory_bytes: Natural


@dataclass(frozen=True)
class Hardware:
    """What the runtime said it ran on. ``memory_bytes`` 0: the runtime does not tell. The last two: what the hardware
    made of a fixed program before the run; absent where the trainer did not ask."""

    platform: Literal["cpu", "gpu", "tpu"]
    device_kind: Text
    runtime: Text
    devices: list[Device]
    process_count: Count
    numerics_sha256: Sha256 = ""
    matmul_bits: Natural = 0


@dataclass(frozen=True)
class Mesh:
    axes: dict[str, Count]
    devices_used: Count
    layout: Literal["replicated", "fsdp", "tensor"]


@dataclass(frozen=True)
class Memory:
    """Bytes. The last five are the compiler's, per device; ``peak_bytes`` 0: it does not tell."""

    parameter_bytes: Count
    optimizer_bytes: Natural
    argument_bytes: Natural
    output_bytes: Natural
    temporary_bytes: Natural
    alias_bytes: Natural
    peak_bytes: Natural


@dataclass(frozen=True)
class Software:
    python: Text
    versions: dict[str, Text]
    packages: File
    environment: File


@dataclass(frozen=True)
class GitSource:
    """``proof`` holds the commit and its trees; ``files`` are the modules that were loaded, below source/files/."""

    kind: Literal["git"]
    commit: GitId
    tree: GitId
    clean: bool
    changed_files: list[str]
    repository: list[Text]
    proof: File
    files: list[File]


@dataclass(frozen=True)
class FilesSource:
    """The run was not started from a git checkout."""

    kind: Literal["files"]
    because: Text
    files: list[File]


@dataclass(frozen=True)
class Override:
    key: Text
    declared: bool | int | float | str
    effective: bool | int | float | str


@dataclass(frozen=True)
class Config:
    """``source``: the declared file's path in the repository. ``document``: the same content as JSON."""

    source: Text
    declared: File
    document: File
    effective: File
    effective_sha256: Sha256
    overrides: list[Override]


@dataclass(frozen=True)
class Model:
    architecture: Literal["gemma"]
    weights: Text
    parameters: Count
    trainable_parameters: Count
    initial_parameters_digest: Sha256


@dataclass(frozen=True)
class Tokenizer:
    kind: Literal["byte", "trained", "huggingface"]
    sha256: Sha256
    vocab_size: Count
    files: list[File]


@dataclass(frozen=True)
class Data:
    source: Text
    train: File
    eval: File
    packing: bool
    train_rows: Count
    train_sequences: Count
    eval_rows: Count
    eval_overlap_rows: Natural
    truncated_rows: Natural
    first_batch: File


@dataclass(frozen=True)
class Training:
    optimizer: Literal["adamw", "adafactor"]
    learning_rate_peak: Positive
    schedule: Literal["constant", "linear", "cosine"]
    warmup_steps: Natural
    weight_decay: NotNegative
    gradient_clip: NotNegative
    seed: Natural
    global_batch_size: Count
    gradient_accumulation: Count
    sequence_length: Count
    compute_dtype: Literal["float32", "bfloat16"]
    loss_on: Literal["answer", "all"]
    steps_planned: Count
    steps_completed: Count
    examples: Count
    tokens: Count
    supervised_tokens: Count


@dataclass(frozen=True)
class Plan:
    layout: Literal["replicated", "fsdp", "tensor"]
    remat: Literal["none", "attention", "mlp", "layer"]
    layers: Literal["unrolled", "scanned"]
    loss_chunk_tokens: Count


@dataclass(frozen=True)
class Program:
    """``sha256``: of the step's StableHLO text. ``plan``: how it was laid out, every choice made."""

    sha256: Sha256
    lowered_for: Text
    plan: Plan
    model_flops_per_step: Positive
    compiler_flops_per_step: NotNegative


@dataclass(frozen=True)
class Timing:
    compile_seconds: NotNegative
    train_seconds: Positive
    median_step_seconds: Positive
    tokens_per_second: Positive


@dataclass(frozen=True)
class Metrics:
    file: File
    rows: Count
    first_step: Literal[1]
    last_step: Count
    genesis: Sha256
    head: Sha256


@dataclass(frozen=True)
class Included:
    """The saved state lies in this bundle, below ``folder``."""

    kind: Literal["included"]
    step: Natural
    folder: InnerPath
    tree_sha256: Sha256
    bytes: Count
    leaves: File
    parameters_digest: Sha256
    optimizer_digest: Sha256
    saved_at: Utc
    chain_at_step: Sha256


@dataclass(frozen=True)
class LeftOut:
    """The saved state is too large to be included; its digests are here."""

    kind: Literal["left_out"]
    because: Text
    step: Natural
    tree_sha256: Sha256
    bytes: Count
    leaves: File
    parameters_digest: Sha256
    optimizer_digest: Sha256
    saved_at: Utc
    chain_at_step: Sha256


@dataclass(frozen=True)
class Witnessed:
    """Who launched the run countersigned its rows while it went on. ``same_host``: on the machine that trained."""

    kind: Literal["witnessed"]
    public_key_sha256: Sha256
    receipts: File
    receipt_count: Count
    same_host: bool


@dataclass(frozen=True)
class NoWitness:
    kind: Literal["no_witness"]
    because: Text


@dataclass(frozen=True)
class Preflighted:
    """What the TPU's compiler said of this run's step before the run; ``peak_bytes`` 0: it refused without saying."""

    kind: Literal["preflighted"]
    file: File
    topology: Text
    fits: bool
    peak_bytes: Natural


@dataclass(frozen=True)
class NotPreflighted:
    kind: Literal["not_preflighted"]
    because: Text


@dataclass(frozen=True)
class RunManifest:
    schema: Literal["evidence/run_manifest@1"]
    run: RunFacts
    attempts: list[Attempt]
    location: Local | Kaggle | KaggleStandIn
    hardware: Hardware
    mesh: Mesh
    memory: Memory
    software: Software
    source: GitSource | FilesSource
    config: Config
    model: Model
    tokenizer: Tokenizer
    data: Data
    training: Training
    program: Program
    preflight: Preflighted | NotPreflighted
    timing: Timing
    metrics: Metrics
    events: File
    samples: list[File]
    checkpoints: list[Included | LeftOut]
    witness: Witnessed | NoWitness


@dataclass(frozen=True)
class EarlyRun(RunFacts):
    """A run that ended before its first row cannot be complete."""

    outcome: Stopped | Failed | Lost


@dataclass(frozen=True)
class Installed:
    """What was installed when a run was started that did not live to say what it loaded."""

    python: Text
    packages: File
    environment: File


@dataclass(frozen=True)
class EarlyManifest:
    """Of a run that ended before its first row. ``events``: the event log, if there was a word."""

    schema: Literal["evidence/early_run_manifest@1"]
    run: EarlyRun
    location: Local | Kaggle | KaggleStandIn
    software: Installed
    source: GitSource | FilesSource
    config: Config
    events: list[File]
    witness: Witnessed | NoWitness


@dataclass(frozen=True)
class FinalLoss:
    value: NotNegative
    definition: Literal["loss of the last optimizer step"]
    step: Count
    row_sha256: Sha256


@dataclass(frozen=True)
class MeanLoss:
    value: NotNegative
    definition: Literal["arithmetic mean of the loss over all optimizer steps"]
    steps: Count


@dataclass(frozen=True)
class LossAt:
    value: NotNegative
    step: Count


@dataclass(frozen=True)
class TrainingResult:
    final_loss: FinalLoss
    mean_loss: MeanLoss
    first_loss: LossAt
    lowest_loss: LossAt


@dataclass(frozen=True)
class Metric:
    """A share of items with its 95 % confidence interval (``ci_method``)."""

    name: Literal["exact_match"]
    value: Share
    n: Count
    ci95: list[Share]
    ci_method: Literal["Wilson score interval"]


@dataclass(frozen=True)
class Decoding:
    method: Literal["greedy"]
    max_new_tokens: Count


@dataclass(frozen=True)
class Scorer:
    """How a prediction counts as correct: the final answers agree, read by this file of the source."""

    name: Literal["exact match of the final answer"]
    source: Text
    answer_delimiter: str


@dataclass(frozen=True)
class Performed:
    kind: Literal["performed"]
    checkpoint_step: Count
    parameters_digest: Sha256
    evaluated_at: Utc
    loss: NotNegative
    eval_set: File
    predictions: File
    items: Count
    correct: Natural
    scorer: Scorer
    decoding: Decoding
    metrics: list[Metric]


@dataclass(frozen=True)
class NotPerformed:
    kind: Literal["not_performed"]
    because: Text


@dataclass(frozen=True)
class EvaluatedOn:
    kind: Literal["local"]
    host_sha256: Sha256
    device_kind: Text


@dataclass(frozen=True)
class EvalSummary:
    schema: Literal["evidence/eval_summary@1"]
    run_id: Text
    run_name: Text
    evaluated_on: EvaluatedOn
    training_result: TrainingResult
    evaluation: Performed | NotPerformed


@dataclass(frozen=True)
class EarlySummary:
    """Of a run that ended before its first row: there is nothing to sum up."""

    schema: Literal["evidence/early_eval_summary@1"]
    run_id: Text
    run_name: Text
    because: Text
