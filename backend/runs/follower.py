"""The follower: one thread that watches the run folders, brings the index up to them, and rings the bell.

Where the system gives notice of files that change, a line is in the index some milliseconds after it was written.
Notices are not relied upon: every live run is looked at twice a second anyway, and without notices twenty times.
While no run lives there is nothing to look at but the list of folders, once a second.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from sqlalchemy.exc import DBAPIError

from backend.database import Database, reason
from backend.runs import ingest, tail, watchers
from backend.runs.bell import Bell
from backend.runs.notices import Notices
from backend.runs.queue import Queue
from backend.runs.store import Store
from backend.runs.tail import Place
from backend.runs.witness import Witness
from evidence import events, record, rundir
from evidence.canonical import JsonError
from evidence.spec import SpecError
from evidence.status import ENDED, LIVE, Status, status

LOOK_SECONDS, RARE_LOOK_SECONDS, STATUS_SECONDS, FOLDERS_SECONDS = 0.05, 0.5, 0.2, 1.0
"""Between two looks at all live runs' events, without notices and with them; between two at where they stand; and
between two at the list of folders."""

LATER = (rundir.SEALED, rundir.LABELS, rundir.RESUME)
"""What is written into the folder of a run that has ended."""

PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.002, 0.02
"""After a look, and about as long again as it took: a log without end leaves the server time for its clients."""

MOST_WORK = 0.05
"""Share of the time that listing the folders may take, however many there are."""

log = logging.getLogger("assay")


class Follower:
    def __init__(
        self, root: Path, database: Database, store: Store, queue: Queue, bell: Bell, witness: Witness
    ) -> None:
        self._root, self._database, self._store, self._queue, self._bell = root, database, store, queue, bell
        self._witness = witness
        self.problem = ""
        """What keeps the index from being brought up to the runs, in a sentence; empty while nothing does."""
        self._places: dict[str, Place] = {}
        self._files: dict[str, tuple[int, int, int]] = {}
        self._notices = Notices()
        self._states: dict[str, str] = {}
        self._told: dict[str, tuple[Status, str, list[str], list[dict[str, str]]]] = {}
        self._written: dict[str, int] = {}
        self._broken: dict[str, int] = {}
        self._unread: dict[str, str] = {}
        self._turn = threading.RLock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def start(self) -> None:
        for item in self._store.standings():
            self._places[item.id], self._states[item.id] = Place(item.offset, item.mark, item.offset), item.state
            self._witness.note(item.id, item.state in LIVE)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._notices.wake()
        if self._thread.ident is not None:
            self._thread.join()
        self._notices.close()

    def adopt(self, run: Path) -> None:
        """Take a new run folder into the index, and start it if it is its turn."""
        with self._turn:
            ask = rundir.read_ask(run)
            with self._database.write() as connection:
                ingest.add(connection, ask, labels_of(run, ask))
            self._places.setdefault(run.name, Place())
            self._states.setdefault(run.name, "queued")
        self._notices.wake()
        self.refresh(run)
        self._queue.advance()
        self._bell.ring()

    def refresh(self, run: Path) -> None:
        """Bring the index up to one run folder: its events, then where it stands and what it is called."""
        changed = self._read_events(run)
        if self._read_status(run) | self._read_labels(run) or changed:
            self._bell.ring()
        self._notices.wake()

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
            self._store.departed.append(name)
            for known in (self._states, self._places, self._told, self._written, self._files, self._unread):
                known.pop(name, None)
            self._witness.note(name, False)
        self._bell.ring()

    def _follow(self) -> None:
        due, warming = _Due(), self._store.warming()
        while not self._end.is_set():
            began = monotonic()
            try:
                self._look(due)
                self.problem = ""
            except (DBAPIError, OSError) as error:
                self._tell(f"The index cannot be brought up to the runs: {reason(error)}. Trying again.")
                self._end.wait(1.0)
            except Exception:
                log.exception("following the runs failed; trying again")
                self._end.wait(1.0)
            self._end.wait(PAUSE_SECONDS + min(monotonic() - began, LONGEST_PAUSE_SECONDS))
            live = [self._root / name for name, state in list(self._states.items()) if state in LIVE]
            self._notices.watch(live)
            warm = next(warming, None) is None
            due.seen |= self._notices.wait(due.patience(bool(live)) if warm else 0.0)

    def _look(self, due: _Due) -> None:
        changed, seen = False, {path.parent.name for path in due.seen}
        stirred = {path.parent.name for path in due.seen if path.name not in (rundir.EVENTS, rundir.OUTPUT)}
        due.seen = set()
        if due.folders <= (now := monotonic()):
            changed = self._compare_folders()
            due.folders = monotonic() + max(FOLDERS_SECONDS, (monotonic() - now) / MOST_WORK)
        everything, status = due.events <= now, due.status <= now
        for name, state in list(self._states.items()):
            if state in LIVE and (everything or status or name in seen):
                changed |= self._read_events(self._root / name)
                if status or name in stirred:
                    changed |= self._read_status(self._root / name)
        if changed:
            self._bell.ring()
        if everything:
            due.events = now + (RARE_LOOK_SECONDS if self._notices.works else LOOK_SECONDS)
        if status:
            due.status = now + STATUS_SECONDS
            self._queue.advance()

    def _compare_folders(self) -> bool:
        """Take in folders that are new, let go of those that are gone, and look again at ended runs that changed."""
        there = {path.name: path for path in rundir.folders(self._root)}
        changed = False
        for name in set(self._states) - set(there):
            self._forget(name)
        for name in sorted(set(there) - set(self._states)):
            size = _size(there[name] / rundir.SPEC)
            if self._broken.get(name) == size:
                continue
            try:
                self.adopt(there[name])
            except (JsonError, SpecError, OSError) as error:
                self._broken[name] = size
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
                labels = labels_of(run, rundir.read_ask(run))
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
                place, seen = self._places.get(run.name), _identity(run / rundir.EVENTS)
                if place is None or (seen == self._files.get(run.name, seen) and seen[1] == place.searched):
                    break
                try:
                    piece = tail.read_on(run / rundir.EVENTS, place)
                except OSError as error:
                    self._cannot_read(run, error)
                    break
                if piece.anything:
                    with self._database.write() as connection:
                        ingest.take(connection, run.name, piece)
                self._places[run.name], self._files[run.name] = piece.place, seen
            if piece.replaced:
                log.warning("events.jsonl of run %s was cut off or replaced; reading it from its beginning", run.name)
            if piece.place == place:
                break
            if piece.anything:
                anything = True
                self._bell.ring()
        return anything

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            log.warning(problem)

    def _cannot_read(self, run: Path, error: OSError) -> None:
        if self._unread.get(run.name) != (reason := error.strerror or str(error)):
            self._unread[run.name] = reason
            log.warning("events.jsonl of run %s cannot be read: %s; trying again", run.name, reason)

    def _read_status(self, run: Path) -> bool:
        """Whether the run's state changed. An end is only told when everything said before it is in the index."""
        with self._turn:
            if run.name not in self._states or not run.is_dir():
                return False
            found = self._status(run)
            if found.state in ENDED and self._read_events(run):
                found = self._status(run)
            alerts = [alert.model_dump() for alert in watchers.held(run)]
            shown = (found, rundir.read_turn(run), bundles_of(run), alerts)
            if self._told.get(run.name) == shown:
                return False
            with self._database.write() as connection:
                changed = ingest.set_status(connection, run.name, *shown)
            if found.state == "lost" and self._states[run.name] in LIVE:
                threading.Thread(target=record.sweep, args=(run, found.reason), daemon=True).start()
            self._states[run.name], self._told[run.name] = found.state, shown
            self._witness.note(run.name, found.state in LIVE)
            return changed

    def _status(self, run: Path) -> Status:
        found = status_of(self._store, run)
        if found.state == "queued" and (problem := self._queue.problem(run)):
            return Status("queued", problem)
        return found


def labels_of(run: Path, ask: rundir.Ask) -> rundir.Labels:
    """What a run is called: as it was asked for, where nobody said otherwise or that cannot be read."""
    try:
        return rundir.read_labels(run, ask)
    except (JsonError, OSError) as error:
        log.warning("run %s is called as it was asked for: %s", run.name, error)
        return rundir.Labels(ask.name, ask.notes, ask.tags)


def status_of(store: Store, run: Path) -> Status:
    """Where a run stands by its folder, and by its last word, which is in the index."""
    last = store.latest(run.name, events.Finished.kind)
    finished = events.Finished(**{key: value for key, value in last.items() if key != "kind"}) if last else None
    try:
        return status(run, finished)
    except (JsonError, LookupError, TypeError, ValueError) as error:
        return Status("lost", f"The run's folder cannot be read: {error}.")


@dataclass
class _Due:
    """When to look next, on the monotonic clock, and what there was notice of."""

    events: float = 0.0
    status: float = 0.0
    folders: float = 0.0
    seen: set[Path] = field(default_factory=set)

    def patience(self, live: bool) -> float:
        dues = (self.folders, self.status, self.events) if live else (self.folders,)
        return max(0.0, min(dues) - monotonic())


def bundles_of(run: Path) -> list[str]:
    """Names of the bundles that a run became."""
    try:
        return [bundle["name"] for bundle in rundir.read_document(run / rundir.SEALED).get("bundles", [])]
    except (JsonError, LookupError, TypeError):
        return []


def _identity(path: Path) -> tuple[int, int, int]:
    """Which file it is, its size, and when it was written to: half a line may give way to a whole one as long."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
