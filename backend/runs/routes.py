"""The run routes: each translates one call; the store, the queue and the folders do the work."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path as Folder
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import StreamingResponse

from backend.bundles.answers import BundleSummary
from backend.errors import Conflict, NotFound, on_field
from backend.runs import admission, labels, reading, sealing
from backend.runs.answers import (
    STEP_COLUMNS,
    Checkpoints,
    Columns,
    Evaluations,
    LabelRequest,
    LogSlice,
    MoveRequest,
    Predictions,
    RerunRequest,
    Run,
    RunPage,
    RunRequest,
    Samples,
    SealRequest,
    State,
    StepColumn,
    SystemColumns,
)
from backend.runs.reading import LogPart
from backend.runs.rows import plain
from backend.runs.stream import Place, cursor_text
from backend.runs.view import Curves
from backend.server import Here, Server
from evidence import attempts

LARGEST_STEP = 2**53 - 1

router = APIRouter(prefix="/runs", tags=["runs"])


def _known(server: Here, id: Annotated[str, Path(max_length=100)]) -> Folder:
    """The folder of a run there is. Raises NotFound."""
    if not server.store.has(id):
        raise NotFound(f"there is no run {id}")
    return server.settings.runs / id


Known = Annotated[Folder, Depends(_known)]
StepQuery = Annotated[int | None, Query(ge=0, le=LARGEST_STEP)]


@router.post("", status_code=201, operation_id="createRun")
def create_run(server: Here, request: RunRequest, response: Response) -> Run:
    """Ask for a run. It starts as soon as its device is free."""
    run = admission.admit(server.settings, request, server.witness)
    server.follower.adopt(run)
    response.headers["Location"] = f"/runs/{run.name}"
    return reading.whole(server, run)


@router.get("", operation_id="listRuns", response_model=RunPage)
def list_runs(
    server: Here,
    q: Annotated[str, Query(max_length=200, description="Part of the name, id, config or notes")] = "",
    state: Annotated[State | None, Query()] = None,
    tag: Annotated[str, Query(max_length=50)] = "",
    archived: Annotated[bool | None, Query(description="Only those that are archived, or only the others")] = None,
    sort: Annotated[Literal["created", "-created", "name", "-name", "loss", "-loss"], Query()] = "-created",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    cursor: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Runs from the index, newest first unless told otherwise."""
    text = server.store.page(q=q, state=state, tag=tag, archived=archived, sort=sort, limit=limit, cursor=cursor)
    return Response(text, media_type="application/json")


@router.get("/{id}", operation_id="showRun")
def show_run(server: Here, run: Known) -> Run:
    return reading.whole(server, run)


@router.patch("/{id}", operation_id="labelRun")
def label_run(server: Here, run: Known, request: LabelRequest) -> Run:
    """Change what a run is called: name, notes, tags, and whether it is archived. What was asked for stays as it is."""
    labels.change(run, request)
    server.follower.refresh(run)
    return reading.whole(server, run)


@router.delete("/{id}", status_code=204, operation_id="deleteRun")
def delete_run(server: Here, run: Known) -> None:
    """Move an ended run to the trash. Bundles that were sealed from it stay."""
    server.trash.take(run)


@router.post("/{id}/resume", status_code=202, operation_id="resumeRun")
def resume_run(server: Here, run: Known) -> Run:
    """Let a run that ended early go on from its newest whole checkpoint, as soon as its device is free."""
    try:
        attempts.ask(run)
    except attempts.CannotResume as error:
        raise Conflict(str(error)) from None
    server.follower.refresh(run)
    server.queue.advance()
    server.follower.refresh(run)
    return reading.whole(server, run)


@router.post("/{id}/rerun", status_code=201, operation_id="rerunRun")
def rerun_run(server: Here, run: Known, request: RerunRequest, response: Response) -> Run:
    """Ask for the same run once more, from its first step, as a run of its own."""
    again = admission.admit_again(server.settings, run, reading.summary(server, run), request, server.witness)
    server.follower.adopt(again)
    response.headers["Location"] = f"/runs/{again.name}"
    return reading.whole(server, again)


@router.post("/{id}/stop", status_code=202, operation_id="stopRun")
def stop_run(server: Here, run: Known) -> Run:
    """Ask a run to end: it saves a checkpoint first. A queued one is cancelled."""
    server.queue.stop(run)
    server.follower.refresh(run)
    return reading.whole(server, run)


@router.post("/{id}/kill", status_code=202, operation_id="killRun")
def kill_run(server: Here, run: Known) -> Run:
    """End a run at once, by SIGKILL to its trainer's processes, without saving. What it saved before is kept."""
    server.queue.kill(run)
    server.follower.refresh(run)
    return reading.whole(server, run)


@router.post("/{id}/move", operation_id="moveRun")
def move_run(server: Here, run: Known, request: MoveRequest) -> Run:
    """Give a run that waits another place in the queue of its device."""
    for moved in server.queue.move(run, request.position):
        server.follower.refresh(moved)
    return reading.whole(server, run)


@router.post("/{id}/seal", status_code=201, operation_id="sealRun")
def seal_run(server: Here, run: Known, request: SealRequest) -> BundleSummary:
    """Make a bundle of an ended run."""
    name = sealing.seal(server, run, request.name)
    server.follower.refresh(run)
    return server.library.summary(name)


@dataclass(frozen=True)
class Wanted:
    """Columns of a run's steps, ``from_step`` and ``to_step`` included."""

    names: list[StepColumn]
    first: int
    last: int
    buckets: int | None


def _wanted(
    keys: Annotated[str, Query(max_length=200, description=f"Comma-separated, of {', '.join(STEP_COLUMNS)}")] = "",
    from_step: StepQuery = None,
    to_step: StepQuery = None,
    buckets: Annotated[int | None, Query(ge=1, le=100_000, description="Thin out to this many buckets")] = None,
) -> Wanted:
    names = [_column(key) for key in dict.fromkeys(keys.split(",")) if key] or list(STEP_COLUMNS)
    return Wanted(names, from_step or 0, LARGEST_STEP if to_step is None else to_step, buckets)


def _curves(server: Server, run: Folder, wanted: Wanted) -> Curves:
    return server.store.curves(run.name, wanted.names, wanted.first, wanted.last, wanted.buckets)


@router.get("/{id}/metrics", operation_id="showMetrics", response_model=Columns)
def show_metrics(server: Here, run: Known, wanted: Annotated[Wanted, Depends(_wanted)]) -> Response:
    """Columns of the run's steps. In buckets, no extreme value is lost, nor is a step whose value was no number."""
    return Response(_curves(server, run, wanted).json(), media_type="application/json")


@router.get(
    "/{id}/columns",
    operation_id="showColumns",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
def show_columns(server: Here, run: Known, wanted: Annotated[Wanted, Depends(_wanted)]) -> Response:
    """The same as metrics for whoever reads many: a line of JSON ``{"rows", "columns", "cursor"}``, padded to a
    multiple of eight bytes, then each column as that many little-endian float64. A stream from ``cursor`` on goes on
    behind the latest step that there is."""
    with server.store.database.read():
        curves, heads = _curves(server, run, wanted), server.store.heads([run.name])
    places = [Place(id, steps=end, generation=generation) for id, (generation, end) in heads.items()]
    return Response(curves.binary(cursor_text(places)), media_type="application/octet-stream")


def _column(key: str) -> StepColumn:
    for name in STEP_COLUMNS:
        if name == key:
            return name
    raise on_field("keys", f"keys: there is no column {key!r}; there are {', '.join(STEP_COLUMNS)}")


@router.get("/{id}/log", operation_id="showLog")
def show_log(
    run: Known,
    part: LogPart,
    fold: Annotated[bool, Query(description="Leave out the event lines, which the log repeats")] = True,
) -> LogSlice:
    """A piece of what the trainer printed."""
    return reading.log(run, part, fold)


@router.get("/{id}/system", operation_id="showSystem")
def show_system(run: Known, most: Annotated[int, Query(ge=1, le=100_000)] = 2_000) -> SystemColumns:
    """What the run's processes use of the machine, in at most ``most`` samples."""
    return reading.used(run, most)


@router.get("/{id}/checkpoints", operation_id="listCheckpoints")
def list_checkpoints(server: Here, run: Known) -> Checkpoints:
    return reading.checkpoints(server, run)


@router.get("/{id}/samples", operation_id="listSamples")
def list_samples(server: Here, run: Known) -> Samples:
    return reading.samples(server, run)


@router.get("/{id}/evaluations", operation_id="listEvaluations")
def list_evaluations(server: Here, run: Known) -> Evaluations:
    return reading.evaluations(server, run)


@router.get("/{id}/predictions", operation_id="listPredictions")
def list_predictions(server: Here, run: Known, step: StepQuery = None) -> Predictions:
    """Answers to the held-out rows, of the latest evaluation unless ``step`` names another."""
    return reading.predictions(server, run, step)


@router.get(
    "/{id}/export.csv",
    operation_id="exportRun",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def export_run(server: Here, run: Known) -> StreamingResponse:
    """Every step as CSV."""
    curves = server.store.curves(run.name, list(STEP_COLUMNS), 0, LARGEST_STEP)
    headers = {"Content-Disposition": f'attachment; filename="{run.name}.csv"'}
    return StreamingResponse(_csv(curves), media_type="text/csv; charset=utf-8", headers=headers)


def _csv(curves: Curves) -> Iterator[str]:
    yield ",".join(["step", *curves.columns]) + "\r\n"
    rows = zip(curves.steps.tolist(), *map(plain, curves.columns.values()), strict=True)
    while block := list(islice(rows, 1000)):
        text = io.StringIO()
        csv.writer(text).writerows([["" if value is None else value for value in row] for row in block])
        yield text.getvalue()
