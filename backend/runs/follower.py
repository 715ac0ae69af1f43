"""The follower: one thread that watches the run folders, brings the index up to them, and rings the bell.

It polls: a look at a file's size costs a microsecond, works on every file system, and no notification can be missed.
While no run lives there is nothing to look at but the list of folders, once a second.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from backend.database import Database
from backend.runs import ingest, watchers
from backend.runs.bell import Bell
from backend.runs.queue import Queue
from backend.runs.store import Store
from backend.runs.witness import Witness
from evidence import events, record, rundir
from evidence.canonical import JsonError
from evidence.spec import SpecError
from evidence.status import ENDED, LIVE, Status, status

LOOK_SECONDS = 0.05
STATUS_EVERY, FOLDERS_EVERY = 4, 20
"""Looks between two readings of the live runs' status, and between two listings of the folders."""

LATER = (rundir.SEALED, rundir.LABELS, rundir.RESUME)
"""What is written into the folder of a run that has ended."""

IDLE_SECONDS = LOOK_SECONDS * FOLDERS_EVERY

log = logging.getLogger("assay")


class Follower:
    def __init__(
        self, root: Path, database: Database, store: Store, queue: Queue, bell: Bell, witness: Witness
    ) -> None:
        self._root, self._database, self._store, self._queue, self._bell = root, database, store, queue, bell
        self._witness = witness
        self._offsets: dict[str, int] = {}
        self._states: dict[str, str] = {}
        self._told: dict[str, tuple[Status, list[str], list[dict[str, str]]]] = {}
        self._written: dict[str, int] = {}
        self._broken: set[str] = set()
        self._turn = threading.RLock()
        self._end = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def start(self) -> None:
        for item in self._store.standings():
            self._offsets[item.id], self._states[item.id] = item.offset, item.state
            self._witness.note(item.id, item.state in LIVE)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()

    def adopt(self, run: Path) -> None:
        """Take a new run folder into the index, and start it if it is its turn."""
        with self._turn:
            ask = rundir.read_ask(run)
            with self._database.write() as connection:
                ingest.add(connection, ask, _labels(run, ask))
            self._offsets.setdefault(run.name, 0)
            self._states.setdefault(run.name, "queued")
        self._woken.set()
        self.refresh(run)
        self._queue.advance()
        self._bell.ring()

    def refresh(self, run: Path) -> None:
        """Bring the index up to one run folder: its events, then where it stands and what it is called."""
        changed = self._read_events(run)
        if self._read_status(run) | self._read_labels(run) or changed:
            self._bell.ring()
        self._woken.set()

    def move_out(self, run: Path, place: Path) -> None:
        """Move a run's folder to ``place`` and let go of it. Raises OSError."""
        with self._turn:
            run.rename(place)
            self._forget(run.name)

    def _forget(self, name: str) -> None:
        """Let go of a run whose folder is gone."""
        with self._turn:
            with self._database.write() as connection:
                ingest.remove(connection, name)
            for known in (self._states, self._offsets, self._told, self._written):
                known.pop(name, None)
            self._witness.note(name, False)
        self._bell.ring()

    def _follow(self) -> None:
        count = 0
        while not self._end.is_set():
            self._woken.clear()
            try:
                self._look(count)
            except Exception:
                log.exception("following the runs failed; trying again")
                self._end.wait(1.0)
            if any(state in LIVE for state in list(self._states.values())):
                count += 1
                self._end.wait(LOOK_SECONDS)
            else:
                count = 0
                self._woken.wait(IDLE_SECONDS)

    def _look(self, count: int) -> None:
        changed = self._compare_folders() if count % FOLDERS_EVERY == 0 else False
        for name, state in list(self._states.items()):
            if state in LIVE:
                changed |= self._read_events(self._root / name)
                if count % STATUS_EVERY == 0:
                    changed |= self._read_status(self._root / name)
        if changed:
            self._bell.ring()
        if count % STATUS_EVERY == 0:
            self._queue.advance()

    def _compare_folders(self) -> bool:
        """Take in folders that are new, let go of those that are gone, and look again at ended runs that changed."""
        there = {path.name: path for path in rundir.folders(self._root)}
        changed = False
        for name in set(self._states) - set(there):
            self._forget(name)
        for name in sorted(set(there) - set(self._states) - self._broken):
            try:
                self.adopt(there[name])
            except (JsonError, SpecError, OSError) as error:
                self._broken.add(name)
                log.warning("the folder %s is not a run and is left alone: %s", name, error)
        for name, state in list(self._states.items()):
            if state not in ENDED or name not in there:
                continue
            if self._read_events(there[name]) | self._was_written_to(there[name]):
                changed |= self._read_status(there[name]) | self._read_labels(there[name])
        return changed

    def _was_written_to(self, run: Path) -> bool:
        """Whether a document of an ended run was replaced since the last look: each is renamed into the folder."""
        try:
            written = run.stat().st_mtime_ns
        except OSError:
            return False
        before = self._written.get(run.name)
        if written == before:
            return False
        self._written[run.name] = written
        return before is not None or any((run / name).exists() for name in LATER)

    def _read_labels(self, run: Path) -> bool:
        """Whether the run is called otherwise than the index has it."""
        with self._turn:
            if run.name not in self._states:
                return False
            try:
                labels = _labels(run, rundir.read_ask(run))
            except (JsonError, SpecError, OSError) as error:
                log.warning("run %s: %s cannot be read: %s", run.name, rundir.SPEC, error)
                return False
            with self._database.write() as connection:
                return ingest.set_labels(connection, run.name, labels)

    def _read_events(self, run: Path) -> bool:
        """Whether there was anything to read."""
        anything = False
        while not self._end.is_set():
            with self._turn:
                known = self._offsets.get(run.name)
                if known is None or _size(run / rundir.EVENTS) <= known:
                    break
                with self._database.write() as connection:
                    read = ingest.read_on(connection, run)
                self._offsets[run.name] = known + read
            if not read:
                break  # half a line: the rest is being written
            anything = True
            self._bell.ring()
        return anything

    def _read_status(self, run: Path) -> bool:
        """Whether the run's state changed. An end is only told when everything said before it is in the index."""
        with self._turn:
            if run.name not in self._states or not run.is_dir():
                return False
            found = self._status(run)
            if found.state in ENDED and self._read_events(run):
                found = self._status(run)
            bundles, alerts = _bundles(run), [alert.model_dump() for alert in watchers.held(run)]
            if self._told.get(run.name) == (found, bundles, alerts):
                return False
            with self._database.write() as connection:
                changed = ingest.set_status(connection, run.name, found, bundles, alerts)
            if found.state == "lost" and self._states[run.name] in LIVE:
                threading.Thread(target=record.sweep, args=(run, found.reason), daemon=True).start()
            self._states[run.name], self._told[run.name] = found.state, (found, bundles, alerts)
            self._witness.note(run.name, found.state in LIVE)
            return changed

    def _status(self, run: Path) -> Status:
        last = self._store.latest(run.name, events.Finished.kind)
        finished = events.Finished(**{key: value for key, value in last.items() if key != "kind"}) if last else None
        try:
            found = status(run, finished)
        except (JsonError, LookupError, TypeError, ValueError) as error:
            return Status("lost", f"The run's folder cannot be read: {error}.")
        if found.state == "queued" and (problem := self._queue.problem(run)):
            return Status("queued", problem)
        return found


def _labels(run: Path, ask: rundir.Ask) -> rundir.Labels:
    try:
        return rundir.read_labels(run, ask)
    except (JsonError, OSError) as error:
        log.warning("run %s is called as it was asked for: %s", run.name, error)
        return rundir.Labels(ask.name, ask.notes, ask.tags)


def _bundles(run: Path) -> list[str]:
    try:
        return [bundle["name"] for bundle in rundir.read_document(run / rundir.SEALED).get("bundles", [])]
    except (JsonError, LookupError, TypeError):
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
