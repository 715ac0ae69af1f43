"""What the run pages show beyond the summary: details from the folder's documents, its events and its log."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Query

from backend.errors import NotFound, on_field
from backend.preflights.of_run import of_run
from backend.runs.answers import (
    Checkpoint,
    Checkpoints,
    Evaluation,
    Evaluations,
    LogSlice,
    Overridden,
    Prediction,
    Predictions,
    Run,
    RunError,
    RunSummary,
    RunWarning,
    Sample,
    Samples,
    SystemColumns,
)
from backend.server import Server
from evidence import canonical, rundir, system
from evidence.events import LOG_MARK

LARGEST_OFFSET = 2**53 - 1
TAIL_LINES, TAIL_BYTES = 40, 64 << 10
MARK = LOG_MARK.encode()


def summary(server: Server, run: Path) -> RunSummary:
    """Raises NotFound for a run that has just gone."""
    try:
        return server.store.summary(run.name)
    except KeyError:
        raise NotFound(f"there is no run {run.name}") from None


def whole(server: Server, run: Path) -> Run:
    """Everything about one run. Raises NotFound when its folder has just gone."""
    store, shown = server.store, summary(server, run)
    try:
        ask = rundir.read_ask(run)
        config_text = (run / rundir.CONFIG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise NotFound(f"there is no run {run.name}") from None
    finished = store.latest(run.name, "finished") or {}
    devices, program = store.latest(run.name, "devices"), store.latest(run.name, "program")
    return Run(
        **shown.model_dump(),
        devices=devices,
        model=store.latest(run.name, "model"),
        data=store.latest(run.name, "data"),
        program=program,
        spec=ask.spec.as_dict(),
        overrides=[Overridden(**asdict(item)) for item in ask.overrides],
        config_text=config_text,
        launch=_document(run / rundir.LAUNCH),
        nonce=ask.nonce,
        error=_error(run, shown.reason, finished) if shown.state in ("failed", "lost") else None,
        warnings=_warnings(server, run),
        preflight=of_run(server.preflights, run, ask.spec, devices, program),
        directory=str(run),
    )


@dataclass(frozen=True)
class Part:
    """Which piece of a log is wanted."""

    offset: Annotated[int, Query(ge=0, le=LARGEST_OFFSET)] = 0
    limit_bytes: Annotated[int, Query(ge=1, le=4 << 20)] = 256 << 10
    tail_bytes: Annotated[int | None, Query(ge=0, le=4 << 20, description="The last so many bytes instead")] = None


LogPart = Annotated[Part, Depends()]


def log(run: Path, part: Part, fold: bool) -> LogSlice:
    """A piece of output.log; it starts and ends at line ends wherever there are any in reach."""
    offset, limit_bytes, tail_bytes = part.offset, part.limit_bytes, part.tail_bytes
    try:
        with (run / rundir.OUTPUT).open("rb") as stream:
            size = stream.seek(0, 2)
            start = min(offset, size) if tail_bytes is None else max(0, size - tail_bytes)
            stream.seek(start)
            data = stream.read(limit_bytes if tail_bytes is None else tail_bytes)
    except FileNotFoundError:
        return LogSlice(offset=0, next_offset=0, size=0, text="")
    if tail_bytes is not None and start and (first := data.find(b"\n") + 1):
        start, data = start + first, data[first:]
    if start + len(data) < size and (last := data.rfind(b"\n") + 1):
        data = data[:last]
    text = unmarked(data) if fold else data
    return LogSlice(offset=start, next_offset=start + len(data), size=size, text=text.decode("utf-8", "replace"))


def used(run: Path, most: int) -> SystemColumns:
    """What the run's processes used; of every so many samples the one with the most memory, where there are more."""
    found = system.read(run / rundir.SYSTEM)
    every = -(-len(found) // most) or 1
    kept = [max(found[at : at + every], key=lambda item: item.rss_bytes) for at in range(0, len(found), every)]
    return SystemColumns(
        time=[item.time for item in kept],
        cpu_percent=[item.cpu_percent for item in kept],
        rss_bytes=[item.rss_bytes for item in kept],
        processes=[item.processes for item in kept],
    )


def unmarked(data: bytes) -> bytes:
    """``data`` without the lines that only repeat events."""
    if MARK not in data:
        return data
    return b"".join(line for line in data.splitlines(keepends=True) if not line.startswith(MARK))


def checkpoints(server: Server, run: Path) -> Checkpoints:
    found, place = server.store.of_kind(run.name, "checkpoint"), rundir.written(run)
    names = Checkpoint.model_fields.keys() - {"on_disk"}
    return Checkpoints(
        checkpoints=[
            Checkpoint(**{name: event[name] for name in names}, on_disk=_inside(place, event["path"]) != place)
            for event in found
        ]
    )


def samples(server: Server, run: Path) -> Samples:
    return Samples(samples=[_only(Sample, event) for event in server.store.of_kind(run.name, "sample")])


def evaluations(server: Server, run: Path) -> Evaluations:
    return Evaluations(evaluations=[_only(Evaluation, event) for event in server.store.of_kind(run.name, "evaluation")])


def predictions(server: Server, run: Path, step: int | None) -> Predictions:
    """Raises Invalid for a step that was not evaluated."""
    done = {event["step"]: event for event in server.store.of_kind(run.name, "evaluation")}
    if step is None and not done:
        return Predictions(step=None, predictions=[])
    if step is not None and step not in done:
        known = ", ".join(map(str, sorted(done))) or "none yet"
        raise on_field("step", f"step must be one that was evaluated ({known}), got {step}")
    event = done[max(done) if step is None else step]
    path = _inside(rundir.written(run), event["predictions"]["path"])
    return Predictions(step=event["step"], predictions=prediction_lines(path) if path.is_file() else [])


def prediction_lines(path: Path) -> list[Prediction]:
    """The predictions in a JSON Lines file; lines that are none are left out."""
    lines, _ = rundir.whole_lines(path, 0, 64 << 20)
    found = []
    for line in lines:
        try:
            found.append(_only(Prediction, canonical.decode(line)))
        except (ValueError, LookupError, TypeError):
            continue
    return found


def _only(model: type[Any], event: dict[str, Any]) -> Any:
    return model(**{name: event[name] for name in model.model_fields})


def _inside(root: Path, path: str) -> Path:
    """``root/path``; ``root`` itself where that is not there or outside of it: events are a trainer's word."""
    place = (root / path).resolve()
    return place if place.is_relative_to(root.resolve()) and place.exists() else root


def _document(path: Path) -> dict[str, Any] | None:
    try:
        return rundir.read_document(path) or None
    except canonical.JsonError:
        return None


def _error(run: Path, reason: str, finished: dict[str, Any]) -> RunError:
    slice = log(run, Part(tail_bytes=TAIL_BYTES), fold=True)
    return RunError(
        stage=finished.get("stage", ""),
        type=finished.get("error_type", ""),
        message=finished.get("error_message", "") or reason,
        log_tail="\n".join(slice.text.splitlines()[-TAIL_LINES:]),
    )


def _warnings(server: Server, run: Path) -> list[RunWarning]:
    found = [_only(RunWarning, event) for event in server.store.of_kind(run.name, "warning")]
    if invalid := server.store.invalid_lines(run.name):
        lines = f"{invalid:,} lines are" if invalid > 1 else "1 line is"
        message = f"{lines} not events of this version and left out of everything shown here."
        found.append(RunWarning(time=None, code="invalid_lines", message=f"events.jsonl: {message}"))
    return found
