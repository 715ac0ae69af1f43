"""Which run starts next: one at a time on each kind of device, in the order they were asked for.

The queue is the folders that are queued; nothing of it is kept elsewhere, so a restart changes nothing. Starting an
attempt twice is refused by the recorder, which is the only writer of launch.json. A run that is to go on stands
ahead of those that were first asked for later than it was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend.errors import Conflict, NotFound
from backend.runs.store import BUSY, Standing, Store, slot
from evidence import attempts, events, rundir
from evidence.canonical import JsonError
from evidence.status import awaited

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
    """``launch`` starts a run folder, ``request_stop`` ends one that was started."""

    def __init__(
        self, root: Path, store: Store, launch: Callable[[Path], None], request_stop: Callable[[Path], bool]
    ) -> None:
        self._root, self._store, self._launch, self._request_stop = root, store, launch, request_stop
        self._turn = threading.Lock()
        self._starts: dict[str, _Start] = {}

    def advance(self) -> None:
        """Start every run whose turn it is."""
        with self._turn:
            standings = self._store.standings()
            taken = {slot(item.device) for item in standings if item.state in BUSY}
            for item in standings:
                if item.state == "queued" and slot(item.device) not in taken and self._may_start(item):
                    taken.add(slot(item.device))

    def problem(self, run: Path) -> str:
        """Why a queued run did not start when it was its turn, empty if it is merely waiting."""
        start = self._starts.get(run.name)
        return start.problem if start else ""

    def stop(self, run: Path) -> None:
        """Cancel a queued run, or ask a started one to end. Raises Conflict for one that has ended."""
        try:
            self._stop(run)
        except (JsonError, LookupError, TypeError, ValueError) as error:
            raise Conflict(f"the folder of run {run.name} cannot be read: {error}") from None

    def _stop(self, run: Path) -> None:
        with self._turn:
            start = self._starts.get(run.name)
            if start and not start.problem:
                launched = start.attempt
                _wait_for(lambda: awaited(run) != launched, start.at + RECORDER_SECONDS)
            if not run.is_dir():
                raise NotFound(f"there is no run {run.name}")
            attempt = awaited(run)
            if attempt > 1:
                attempts.take_back(run)
                self._starts.pop(run.name, None)
            elif attempt:
                rundir.write_document(run / rundir.CANCELLED, {"time": events.now()})
            elif (run / rundir.CANCELLED).exists():
                raise Conflict(f"run {run.name} was cancelled already; there is nothing to stop")
            elif _has_ended(run) or not self._request_stop(run):
                raise Conflict(f"run {run.name} has ended already; there is nothing to stop")

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
    started = rundir.read_document(run / rundir.LAUNCH).get("started_at", "")
    return bool(rundir.read_document(run / rundir.EXIT).get("ended_at", "") >= started)


def _wait_for(what: Callable[[], bool], until: float) -> None:
    while not what() and time.monotonic() < until:
        time.sleep(0.02)
