"""Attempts: a run that ended early and is resumed goes on in its own folder.

``events.jsonl`` and ``output.log`` are appended to; the documents that tell of one process (``launch.json``,
``exit.json`` and their like) move to ``attempts/<n>/`` when attempt n+1 is launched. An attempt that goes on from the
state after step k says ``resumed``, and with that takes back whatever was said of later steps: ``standing`` is what is
left, and reads like one run from its first step to its last.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from evidence import canonical, events, rundir
from evidence.spec import SpecError
from evidence.status import LIVE, awaited, launched

OF_A_STEP = (events.Step, events.Evaluation, events.Sample, events.Checkpoint)
"""Events that tell of one step, and are taken back when it is done again."""

ONE_PROCESS = (rundir.STOP, rundir.KILL, rundir.EXIT, rundir.PROCESS, rundir.LOST)

SAME_LOSS = 1e-5
"""Share by which the loss of a step done twice may differ: the same program on as many devices gives the same bits."""

E = TypeVar("E", bound=events.Event)
T = TypeVar("T")


class CannotResume(ValueError):
    """There is nothing to go on with; ``str()`` says why in one sentence."""


def ask(run: Path) -> None:
    """Write down that ``run`` shall go on, for whoever launches it when it is its turn. Raises CannotResume."""
    with held(run):
        try:
            check(run)
            waits = awaited(run)
            number = int(rundir.read_document(run / rundir.LAUNCH).get("attempt", 1)) + 1
        except CannotResume:
            raise
        except (canonical.JsonError, LookupError, TypeError, ValueError) as error:
            raise CannotResume(f"the folder of run {run.name} cannot be read: {error}") from None
        if waits:
            raise CannotResume(f"run {run.name} waits to go on already; stop takes that back")
        rundir.write_document(run / rundir.RESUME, {"time": events.now(), "attempt": number})


def take_back(run: Path) -> None:
    """``run`` shall not go on after all."""
    (run / rundir.RESUME).unlink(missing_ok=True)


def check(run: Path) -> None:
    """Raises CannotResume unless a next attempt of ``run`` can start now; one that waits may."""
    try:
        asked = rundir.read_ask(run)
    except (OSError, canonical.JsonError, SpecError) as error:
        why = getattr(error, "strerror", "") or error
        raise CannotResume(f"{run} is not a run that can be resumed: {why}") from None
    remote = rundir.read_document(run / rundir.REMOTE)
    if remote.get("version") or remote.get("resume"):
        _check_remote(run, anew=not remote["version"] or remote["collected"])
        return
    said = [event for event in told(run, whole=False) if not isinstance(event, events.Step)]
    last_word = last(said, events.Finished)
    state = launched(run, last_word)
    if state.state == "queued" or not said:
        raise CannotResume(f"run {run.name} was never started or never spoke; there is nothing to resume")
    if state.state in LIVE:
        raise CannotResume(f"run {run.name} is {state.state}; only a run that has ended can be resumed")
    if state.state == "finished" or (last_word and last_word.outcome == "completed"):
        raise CannotResume(f"run {run.name} is finished: all {asked.spec.training.steps:,} steps are done")
    begun = next(event for event in said if isinstance(event, events.RunStart))
    if begun.spec_sha256 != asked.spec_sha256:
        raise CannotResume(
            f"run {run.name} began with the spec of digest {begun.spec_sha256[:12]}, but its {rundir.SPEC} now has "
            f"{asked.spec_sha256[:12]}; a saved state goes on only with the spec it was made by"
        )
    if not any(isinstance(event, events.Checkpoint) and (run / event.path).is_dir() for event in said):
        raise CannotResume(f"run {run.name} has no checkpoint to go on from; start a new run of the same config")


def _check_remote(run: Path, *, anew: bool) -> None:
    """Of a run elsewhere: its session can be watched again; one that came back goes on, ``anew``, from what it left."""
    state = launched(run, last(told(run, whole=False), events.Finished))
    if state.state in LIVE:
        raise CannotResume(f"run {run.name} is {state.state}; only a run that has ended can be resumed")
    if anew:
        check(rundir.came_back(run))


@contextmanager
def held(run: Path) -> Iterator[None]:
    """``run`` for nobody but the body, which may change what it is: resume, seal or move it. Raises CannotResume."""
    try:
        folder = os.open(run, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise CannotResume(f"{run} is not a run that can be resumed: {error.strerror}") from None
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotResume(
                f"run {run.name} is being resumed, sealed or deleted by somebody else at this moment"
            ) from None
        yield
    finally:
        os.close(folder)


@contextmanager
def next_one(run: Path) -> Iterator[int]:
    """The number of the next attempt of ``run``; the body writes its launch.json. Raises CannotResume.

    Launch.json is replaced in one step, and what else is left of the attempt before counts for nothing once there is
    a younger launch; so the run's state is right at every moment, and whoever dies here has broken nothing.
    """
    with held(run):
        check(run)
        number = int(rundir.read_document(run / rundir.LAUNCH).get("attempt", 1))
        aside = run / rundir.ATTEMPTS / str(number)
        aside.mkdir(parents=True, exist_ok=True)
        for name in (rundir.LAUNCH, rundir.COMMIT):
            if (run / name).exists():
                shutil.copyfile(run / name, aside / name)
        yield number + 1
        for name in ONE_PROCESS:
            if (run / name).exists() and rundir.read_document(run / name).get("attempt") != number + 1:
                (run / name).replace(aside / name)


def told(run: Path, *, whole: bool = True) -> list[events.Event]:
    """Everything that the run's attempts said, in order; lines that are no events are left out.

    ``whole``: with the step rows, which are many. Without them a long run is read in no time.
    """
    lines, _ = rundir.whole_lines(run / rundir.EVENTS, 0, limit_bytes=-1)
    found = []
    for line in lines:
        if whole or b'"kind":"step"' not in line:
            try:
                found.append(events.decode(line))
            except events.EventError:
                continue
    return found


def last(said: Iterable[events.Event], kind: type[E]) -> E | None:
    """The last event of a kind."""
    found = None
    for event in said:
        if isinstance(event, kind):
            found = event
    return found


def standing(said: Iterable[tuple[T, events.Event]]) -> list[tuple[T, events.Event]]:
    """``said`` without what a later attempt took back. Each event comes with whatever belongs to it: its line, say."""
    kept: list[tuple[T, events.Event]] = []
    for item in said:
        event = item[1]
        if isinstance(event, events.Resumed):
            kept = [old for old in kept if not (isinstance(old[1], OF_A_STEP) and old[1].step > event.step)]
        kept.append(item)
    return kept


def split(said: Iterable[T], starts: Iterable[bool]) -> list[list[T]]:
    """``said`` cut before every item that starts an attempt."""
    parts: list[list[T]] = []
    for item, start in zip(said, starts, strict=True):
        if start or not parts:
            parts.append([])
        parts[-1].append(item)
    return parts


@dataclass(frozen=True)
class Facts:
    """What the events of one attempt say of it; see ``manifest.Attempt``."""

    started_at: str
    from_step: int
    last_step: int
    ended: Any


def facts(said: Sequence[events.Event]) -> Facts:
    """Of one attempt, from its run_start on."""
    start, resumed, finished = said[0], last(said, events.Resumed), last(said, events.Finished)
    begun = resumed.step if resumed else 0
    row = last(said, events.Step)
    return Facts(
        started_at=start.time,
        from_step=begun,
        last_step=row.step if row else begun,
        ended=finished.outcome if finished else "cut_off",
    )
