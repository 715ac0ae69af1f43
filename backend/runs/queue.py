"""Which run starts next: one at a time on each kind of device, in the order they were asked for.

The queue is the folders that are queued; nothing of it is kept elsewhere, so a restart changes nothing. Starting a run
twice is refused by the recorder, which is the only writer of launch.json.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend.errors import Conflict
from backend.runs.store import BUSY, Standing, Store, slot
from evidence import events, rundir

RECORDER_SECONDS = 20.0
"""How long a recorder may take to write launch.json before it counts as failed to start."""

log = logging.getLogger("assay")


@dataclass
class _Start:
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
        with self._turn:
            start = self._starts.get(run.name)
            if start and not start.problem:
                _wait_for(run / rundir.LAUNCH, start.at + RECORDER_SECONDS)
            if (run / rundir.LAUNCH).exists():
                if (run / rundir.EXIT).exists() or not self._request_stop(run):
                    raise Conflict(f"run {run.name} has ended already; there is nothing to stop")
            elif (run / rundir.CANCELLED).exists():
                raise Conflict(f"run {run.name} was cancelled already; there is nothing to stop")
            else:
                rundir.write_document(run / rundir.CANCELLED, {"time": events.now()})

    def _may_start(self, item: Standing) -> bool:
        """Whether the run holds its device now: started just now, or about to speak."""
        run = self._root / item.id
        start = self._starts.get(item.id)
        if start is None:
            if (run / rundir.CANCELLED).exists():
                return False
            self._starts[item.id] = _Start(time.monotonic())
            if (run / rundir.LAUNCH).exists():
                return True  # the index has not caught up with it
            try:
                self._launch(run)
            except OSError as error:
                self._starts[item.id].problem = f"It could not be started: {error.strerror}."
                log.error("run %s could not be started: %s", item.id, error)
                return False
            return True
        if not start.problem and time.monotonic() > start.at + RECORDER_SECONDS and not (run / rundir.LAUNCH).exists():
            start.problem = "Its recorder did not start; recorder.log in its folder may say why."
            log.error("run %s: %s", item.id, start.problem)
        return not start.problem


def _wait_for(path: Path, until: float) -> None:
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)
