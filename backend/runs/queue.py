"""Which run starts next: one at a time on each kind of device here, and one at Kaggle, in the order they were asked for
or were moved to.

The queue is the folders that are queued; nothing of it is kept elsewhere, so a restart changes nothing. Starting an
attempt twice is refused by the recorder, which is the only writer of launch.json. A run that is to go on stands
ahead of those that were first asked for later than it was. Runs that change places take each other's turn, which is in
their folders (turn.json).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.errors import Conflict, NotFound
from backend.runs.store import BUSY, Standing, Store
from evidence import attempts, events, rundir, status
from evidence.canonical import JsonError
from evidence.processes import alive
from evidence.status import LIVE, awaited

RECORDER_SECONDS = 20.0
"""How long a recorder may take to write launch.json before it counts as failed to start."""

log = logging.getLogger("assay")


@dataclass
class _Start:
    """An attempt that was launched, and on the monotonic clock, when."""

    attempt: int
    at: float
    problem: str = ""


class Queue:
    """``launch`` starts a run folder, ``request_stop`` ends one that was started, ``request_kill`` without ado."""

    def __init__(
        self,
        root: Path,
        store: Store,
        launch: Callable[[Path], None],
        request_stop: Callable[[Path], bool],
        request_kill: Callable[[Path], bool],
    ) -> None:
        self._root, self._store, self._launch = root, store, launch
        self._request_stop, self._request_kill = request_stop, request_kill
        self._turn = threading.Lock()
        self._starts: dict[str, _Start] = {}
        self._asked: dict[str, str] = {}
        """Of each run that was asked to stop, the start of the attempt that was."""

    def advance(self) -> None:
        """Start every run whose turn it is."""
        with self._turn:
            standings = self._store.standings()
            taken = {item.slot for item in standings if item.state in BUSY}
            waiting = sorted(
                (item for item in standings if item.state == "queued"), key=lambda item: (item.turn, item.id)
            )
            for item in waiting:
                if item.slot not in taken and self._may_start(item):
                    taken.add(item.slot)

    def problem(self, run: Path) -> str:
        """Why a queued run did not start when it was its turn, empty if it is merely waiting."""
        start = self._starts.get(run.name)
        return start.problem if start else ""

    def stop(self, run: Path) -> None:
        """Cancel a queued run, or ask a started one to end. Raises Conflict for one that was asked, or has ended."""
        with self._settled(run):
            attempt = awaited(run)
            if attempt > 1:
                attempts.take_back(run)
                self._starts.pop(run.name, None)
            elif attempt:
                rundir.write_document(run / rundir.CANCELLED, {"time": events.now()})
            elif (run / rundir.CANCELLED).exists():
                raise Conflict(f"run {run.name} was cancelled already; there is nothing to stop")
            elif _has_ended(run):
                raise Conflict(f"run {run.name} has ended already; there is nothing to stop")
            else:
                self._stop(run)

    def _stop(self, run: Path) -> None:
        launch = rundir.read_document(run / rundir.LAUNCH)
        started = launch["started_at"]
        asked = bool(status.of_launch(launch, run / rundir.STOP)) and alive(launch["recorder"])
        asked |= self._asked.get(run.name) == started
        if asked and status.launched(run, None).state in LIVE:
            raise Conflict(f"run {run.name} was asked to stop already; kill does not wait until it has saved")
        if asked or not self._request_stop(run):
            raise Conflict(f"run {run.name} has ended already; there is nothing to stop")
        self._asked[run.name] = started

    def kill(self, run: Path) -> None:
        """Kill a started run, which saves nothing any more. Raises Conflict for one that waits or has ended."""
        with self._settled(run):
            if awaited(run):
                raise Conflict(f"run {run.name} waits in the queue, so there is nothing to kill; stop takes it back")
            if (run / rundir.CANCELLED).exists() or _has_ended(run) or not self._request_kill(run):
                raise Conflict(f"run {run.name} has ended already; there is nothing to kill")

    def move(self, run: Path, position: int) -> list[Path]:
        """Let a run that waits do so at another place, 1 being the next on its device; returns the runs whose place is
        another one now. Raises Conflict for a run that does not wait."""
        with self._turn:
            waiting = [item for item in self._store.standings() if item.state == "queued" and self._waits(item)]
            slot = next((item.slot for item in waiting if item.id == run.name), None)
            if slot is None:
                raise Conflict(f"run {run.name} does not wait in the queue, so it has no place there")
            ids = sorted(item.id for item in waiting if item.slot == slot)
            line = sorted(ids, key=lambda id: (rundir.read_turn(self._root / id), id))
            line.remove(run.name)
            line.insert(position - 1, run.name)
            moved = []
            for id, turn in zip(line, ids, strict=True):
                if rundir.read_turn(self._root / id) != turn:
                    rundir.write_document(self._root / id / rundir.TURN, {"time": events.now(), "turn": turn})
                    moved.append(self._root / id)
            return moved

    def _waits(self, item: Standing) -> bool:
        """Whether a queued run was not launched a moment ago."""
        start, attempt = self._starts.get(item.id), awaited(self._root / item.id)
        return bool(attempt) and not (start and start.attempt == attempt and not start.problem)

    @contextmanager
    def _settled(self, run: Path) -> Iterator[None]:
        """For the body, no run starts or stops; ``run`` was not launched just now, or its recorder has spoken. Raises
        NotFound, and Conflict where its folder cannot be read."""
        try:
            with self._turn:
                start = self._starts.get(run.name)
                if start and not start.problem:
                    launched = start.attempt
                    _wait_for(lambda: awaited(run) != launched, start.at + RECORDER_SECONDS)
                if not run.is_dir():
                    raise NotFound(f"there is no run {run.name}")
                yield
        except (JsonError, LookupError, TypeError, ValueError) as error:
            raise Conflict(f"the folder of run {run.name} cannot be read: {error}") from None

    def _may_start(self, item: Standing) -> bool:
        """Whether the run holds its device now: started just now, or about to speak."""
        run = self._root / item.id
        attempt = awaited(run)
        if not attempt:
            return not (run / rundir.CANCELLED).exists()  # the index has not caught up with it
        start = self._starts.get(item.id)
        if start is None or start.attempt != attempt:
            self._starts[item.id] = _Start(attempt, time.monotonic())
            try:
                self._launch(run)
            except OSError as error:
                self._starts[item.id].problem = f"It could not be started: {error.strerror}."
                log.error("run %s could not be started: %s", item.id, error)
                return False
            return True
        if not start.problem and time.monotonic() > start.at + RECORDER_SECONDS:
            start.problem = "Its recorder did not start; recorder.log in its folder may say why."
            log.error("run %s: %s", item.id, start.problem)
        return not start.problem


def _has_ended(run: Path) -> bool:
    """Whether the latest attempt wrote down its end."""
    launch = rundir.read_document(run / rundir.LAUNCH)
    return bool(launch and status.of_launch(launch, run / rundir.EXIT, "ended_at"))


def _wait_for(what: Callable[[], bool], until: float) -> None:
    while not what() and time.monotonic() < until:
        time.sleep(0.02)
