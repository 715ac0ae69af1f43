"""The typed lines of ``events.jsonl``: what a trainer says of itself while it runs.

One dataclass per kind; a line is its canonical JSON with ``kind`` added, so ``decode(encode(event)) == event``.
A field that does not apply is absent, never null. Times are UTC, ``2026-01-31T12:00:00.000000Z``. The trainer's
process 0 is the only writer; it also prints each line to its standard output behind ``:::EVID `` so that a log
captured by somebody else carries the same rows.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from time import gmtime, strftime, time_ns
from typing import Any, ClassVar, TypeAlias

from evidence import canonical, typed

LOG_MARK = ":::EVID "
GENESIS_PARTS = ("nonce", "commit", "spec_sha256", "data_sha256", "tokenizer_sha256", "program_sha256")

Document: TypeAlias = dict[str, Any]

NUMBERS = ("loss", "grad_norm", "param_norm")
"""Of a step: what may be no number."""


class EventError(ValueError):
    """The line is not an event this version knows."""


@dataclass(frozen=True, kw_only=True)
class FileDigest:
    """A file by content. ``path`` is relative to the run folder (or to the repository for source files)."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Event:
    kind: ClassVar[str]
    time: typed.Utc


@dataclass(frozen=True, kw_only=True)
class RunStart(Event):
    """First line of every attempt."""

    kind: ClassVar[str] = "run_start"
    run_id: str
    name: str
    nonce: str
    spec_sha256: str
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """This attempt (from 2) goes on from the state saved after ``step``. What was said of later steps is taken back:
    they are done again. ``chain_at_step`` is the hash of that step's row, to which the next row is chained."""

    kind: ClassVar[str] = "resumed"
    attempt: int
    step: int
    checkpoint: str
    chain_at_step: str


@dataclass(frozen=True, kw_only=True)
class Phase(Event):
    """``name``: loading, building, compiling, training, evaluating, saving."""

    kind: ClassVar[str] = "phase"
    name: str


@dataclass(frozen=True, kw_only=True)
class Devices(Event):
    """``devices``: id, process_index, device_kind, and coords, core_on_chip, memory_bytes where the runtime tells.

    ``numerics_sha256``: what the hardware makes of a fixed program; ``matmul_bits``: how much of a float32 product it
    keeps by default (training/fingerprint.py)."""

    kind: ClassVar[str] = "devices"
    platform: str
    device_kind: str
    devices: list[Document]
    devices_used: int
    process_count: int
    mesh: dict[str, int]
    layout: str
    runtime: str
    numerics_sha256: str = ""
    matmul_bits: int = 0


@dataclass(frozen=True, kw_only=True)
class Data(Event):
    """``train_sequences``: what the training rows fill, one each or, packed, several to one.
    ``eval_overlap_rows``: held-out rows whose normalized prompt is also trained on."""

    kind: ClassVar[str] = "data"
    train: FileDigest
    eval: FileDigest
    train_rows: int
    train_sequences: int
    eval_rows: int
    eval_overlap_rows: int
    truncated_rows: int
    tokenizer_kind: str
    tokenizer_sha256: str
    vocab_size: int
    first_batch: FileDigest


@dataclass(frozen=True, kw_only=True)
class Model(Event):
    """``weights``: random, or where they came from. ``parameters_digest``: of the weights before step 1. Said once: an
    attempt that goes on from a saved state has no weights of its own to tell of."""

    kind: ClassVar[str] = "model"
    parameters: int
    trainable_parameters: int
    parameter_bytes: int
    optimizer_bytes: int
    weights: str
    parameters_digest: str


@dataclass(frozen=True, kw_only=True)
class Program(Event):
    """The compiled step. ``program_sha256``: of its StableHLO text. ``plan``: with nothing left to choose. Byte sizes
    are the compiler's, per device; ``model_flops_per_step`` is 6 x matrix parameters x tokens plus attention, whatever
    is recomputed."""

    kind: ClassVar[str] = "program"
    program_sha256: str
    lowered_for: str
    plan: dict[str, int | str]
    compile_seconds: float
    model_flops_per_step: float
    compiler_flops_per_step: float
    argument_bytes: int
    output_bytes: int
    temporary_bytes: int
    alias_bytes: int
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Source(Event):
    """The repository's own files that were loaded into the process when training began."""

    kind: ClassVar[str] = "source"
    files: list[FileDigest]


@dataclass(frozen=True, kw_only=True)
class Step(Event):
    """One optimizer step. ``loss`` is the mean over supervised tokens before the update; ``examples``, ``tokens`` and
    ``supervised_tokens`` count from the start of the run; ``step_seconds`` is the difference of ``monotonic_ns``.
    ``hash`` is sha256(prev + canonical row without ``hash``); the first ``prev`` is the run's genesis.

    ``tokens_per_second`` is of this step. The last three are absent where they are unknown: the share of the devices'
    peak that the model's arithmetic used, where the table knows the peak of this kind of device; bytes in use and at
    their peak since the process began, on the fullest device, where the runtime tells.

    A loss or norm that is no number is said in a word, "NaN", "Infinity" or "-Infinity": it happened, and a row that
    hid it would look like one that was never written."""

    kind: ClassVar[str] = "step"
    step: int
    epoch: float
    loss: typed.Number
    grad_norm: typed.Number
    param_norm: typed.Number
    learning_rate: float
    examples: int
    tokens: int
    supervised_tokens: int
    batch_sha256: str
    step_seconds: float
    monotonic_ns: int
    prev: str
    hash: str
    tokens_per_second: float = 0.0
    model_flops_utilization: float = 0.0
    device_memory_bytes: int = 0
    device_memory_peak_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Evaluation(Event):
    """Held-out rows after ``step``: mean loss per supervised token, and exact match of the final answers."""

    kind: ClassVar[str] = "evaluation"
    step: int
    loss: float
    items: int
    correct: int
    exact_match: float
    predictions: FileDigest
    parameters_digest: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Event):
    """A saved state. ``path`` is a folder below ``checkpoints/``; ``leaves`` lists each array's digest."""

    kind: ClassVar[str] = "checkpoint"
    step: int
    path: str
    bytes: int
    tree_sha256: str
    leaves: FileDigest
    parameters_digest: str
    optimizer_digest: str
    chain_at_step: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Sample(Event):
    """One greedy generation shown to people. ``expected`` is the row's own answer."""

    kind: ClassVar[str] = "sample"
    step: int
    prompt: str
    expected: str
    text: str
    token_ids: list[int]
    parameters_digest: str


@dataclass(frozen=True, kw_only=True)
class Warning(Event):
    kind: ClassVar[str] = "warning"
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """Last line of an attempt that could still speak. ``outcome``: completed, stopped or failed; a failed one has
    ``stage`` (the phase), ``error_type`` and ``error_message``."""

    kind: ClassVar[str] = "finished"
    outcome: str
    step: int
    train_seconds: float
    stage: str = ""
    error_type: str = ""
    error_message: str = ""


KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        RunStart,
        Resumed,
        Phase,
        Devices,
        Data,
        Model,
        Program,
        Source,
        Step,
        Evaluation,
        Checkpoint,
        Sample,
        Warning,
        Finished,
    )
}
PHASES = ("loading", "building", "compiling", "training", "evaluating", "saving")


def encode(event: Event) -> str:
    """The event's line, without the newline. Raises JsonError for a value JSON cannot carry (a NaN, say)."""
    return canonical.encode(_document(event))


def decode(line: str | bytes) -> Event:
    """The event in a line. Raises EventError naming the first thing that is wrong."""
    try:
        document = canonical.decode(line)
    except canonical.JsonError as error:
        raise EventError(str(error)) from None
    if not isinstance(document, dict):
        raise EventError("a line must be an object")
    cls = KINDS.get(str(document.pop("kind", "")))
    if cls is None:
        raise EventError("the line has no known kind")
    try:
        return typed.read(cls, document, cls.kind)  # type: ignore[no-any-return]
    except typed.WrongDocument as error:
        raise EventError(str(error)) from None


def said_last(word: Finished) -> str:
    """An attempt's last word, quoted."""
    return f'"finished: {word.outcome}" after step {word.step}'


def now() -> str:
    """This instant as events write it. A second's text is made once: a trainer asks at every step."""
    global _second
    seconds, micros = divmod(time_ns() // 1000, 1_000_000)
    known, text = _second
    if known != seconds:
        text = strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds))
        _second = seconds, text
    return f"{text}.{micros:06d}Z"


_second = (-1, "")


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def instant(text: str) -> datetime:
    """The moment in an event's ``time``. Raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def genesis(parts: dict[str, str]) -> str:
    """Head of an empty chain: binds the rows to nonce, commit, spec, data, tokenizer and program."""
    return hashlib.sha256("\n".join(f"{name}={parts[name]}" for name in GENESIS_PARTS).encode()).hexdigest()


def link(row: Document) -> str:
    """The hash a step row must carry, from its other fields (``prev`` among them)."""
    unhashed = {key: value for key, value in row.items() if key != "hash"}
    return hashlib.sha256((row["prev"] + canonical.encode(unhashed)).encode()).hexdigest()


def chained(step: Step) -> Step:
    """``step`` with its ``hash`` filled in."""
    return replace(step, hash=chain(step)[0])


def chain(step: Step) -> tuple[str, str]:
    """The hash that ``step`` must carry, and its line with that hash in it."""
    return step_line(**{item.name: getattr(step, item.name) for item in fields(Step) if item.name != "hash"})


def step_line(
    *, time: str, step: int, epoch: float, loss: float, grad_norm: float, param_norm: float, learning_rate: float,
    examples: int, tokens: int, supervised_tokens: int, batch_sha256: str, step_seconds: float, monotonic_ns: int,
    prev: str, tokens_per_second: float = 0.0, model_flops_utilization: float = 0.0, device_memory_bytes: int = 0,
    device_memory_peak_bytes: int = 0,
) -> tuple[str, str]:  # fmt: skip
    """The hash that a step with these fields must carry, and its line with that hash in it.

    A trainer pays for this at every step, so a row of plain numbers is put together by hand, in the order of its keys.
    It is what ``encode`` gives for the same row (a test holds them to one another); digests and time are plain ASCII.
    """
    numbers = loss + grad_norm + param_norm + learning_rate + step_seconds + epoch + tokens_per_second
    numbers += model_flops_utilization
    if type(numbers) is not float or not math.isfinite(numbers):
        row = {name: value for name, value in locals().items() if name != "numbers"}
        document = _document(Step(**row, hash=""))
        found = link(document)
        return found, canonical.encode({**document, "hash": found})
    memory = f'"device_memory_bytes":{device_memory_bytes},' if device_memory_bytes else ""
    peak = f'"device_memory_peak_bytes":{device_memory_peak_bytes},' if device_memory_peak_bytes else ""
    share = f'"model_flops_utilization":{model_flops_utilization!r},' if model_flops_utilization else ""
    pace = f',"tokens_per_second":{tokens_per_second!r}' if tokens_per_second else ""
    head = (
        f'{{"batch_sha256":"{batch_sha256}",{memory}{peak}"epoch":{epoch!r},"examples":{examples},'
        f'"grad_norm":{grad_norm!r},'
    )
    tail = (
        f'"kind":"step","learning_rate":{learning_rate!r},"loss":{loss!r},{share}"monotonic_ns":{monotonic_ns},'
        f'"param_norm":{param_norm!r},"prev":"{prev}","step":{step},"step_seconds":{step_seconds!r},'
        f'"supervised_tokens":{supervised_tokens},"time":"{time}","tokens":{tokens}{pace}}}'
    )
    found = hashlib.sha256(f"{prev}{head}{tail}".encode()).hexdigest()
    return found, f'{head}"hash":"{found}",{tail}'


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _document(event: Event) -> Document:
    document = {"kind": event.kind, **typed.write(event)}
    if isinstance(event, Step):
        for name in NUMBERS:
            if not math.isfinite(document[name]):
                document[name] = _word(document[name])
    return document


def data_digest(train_sha256: str, eval_sha256: str) -> str:
    """One digest of the training rows and the held-out rows."""
    return canonical.digest({"eval": eval_sha256, "train": train_sha256})
