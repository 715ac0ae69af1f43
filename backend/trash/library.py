"""The trash: run folders moved out of the list, whole, until they are restored or removed for good.

A move is one rename, so a run is in the list or in the trash and never in neither; what is removed is first renamed to
something that is no run, so nobody meets half of one. Bundles that were sealed from a run lie elsewhere and stay.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from pathlib import Path
from typing import Any

from backend.errors import Conflict, NotFound
from backend.runs.follower import Follower
from backend.runs.store import Store
from backend.trash.answers import Trash, TrashedRun
from evidence import attempts, events, rundir
from evidence.canonical import JsonError
from evidence.processes import alive
from evidence.spec import SpecError
from evidence.status import LIVE

GONE = ".gone-"

log = logging.getLogger("assay")


class Library:
    """The folders below ``root``; ``store`` and ``follower`` keep the list that runs leave and come back to."""

    def __init__(self, root: Path, runs: Path, store: Store, follower: Follower) -> None:
        self._root, self._runs, self._store, self._follower = root, runs, store, follower

    def sweep(self) -> None:
        """Finish what a killed server began to remove."""
        for place in self._root.glob(f"{GONE}*"):
            _remove(place)

    def take(self, run: Path) -> None:
        """Move an ended run here. Raises Conflict while it lives, NotFound when somebody else was faster."""
        try:
            with attempts.held(run):
                self._follower.refresh(run)
                summary = self._store.summary(run.name)
                if summary.state in LIVE:
                    raise Conflict(f"run {run.name} is {summary.state}; stop it, then it can be deleted")
                if alive(process := _document(run / rundir.PROCESS)):
                    raise Conflict(f"run {run.name} still trains in process {process['pid']}; end that first")
                document = {"time": events.now(), "state": summary.state, "step": summary.step}
                rundir.write_document(run / rundir.TRASHED, document)
                self._root.mkdir(exist_ok=True)
                self._follower.move_out(run, self._root / run.name)
        except (KeyError, FileNotFoundError):
            raise NotFound(f"there is no run {run.name}") from None
        except attempts.CannotResume as error:
            if not run.is_dir():
                raise NotFound(f"there is no run {run.name}") from None
            raise Conflict(str(error)) from None
        except OSError as error:
            raise Conflict(f"run {run.name} cannot be moved to the trash: {error.strerror}") from None

    def contents(self) -> Trash:
        found = [self._show(place) for place in rundir.folders(self._root)]
        found.sort(key=lambda run: (run.deleted_at, run.id), reverse=True)
        return Trash(runs=found, bytes=sum(run.bytes for run in found))

    def restore(self, run_id: str) -> Path:
        """Move a run back to where it was; its folder. Raises NotFound, Conflict."""
        place, run = self._place(run_id), self._runs / run_id
        if run.exists():
            raise Conflict(f"there is a run {run_id} in the list already")
        try:
            place.rename(run)
        except FileNotFoundError:
            raise self._missing(run_id) from None
        except OSError as error:
            raise Conflict(f"run {run_id} cannot be restored: {error.strerror}") from None
        (run / rundir.TRASHED).unlink(missing_ok=True)
        self._follower.adopt(run)
        return run

    def remove(self, run_id: str) -> None:
        """Remove a run for good. Raises NotFound."""
        gone = self._root / f"{GONE}{run_id}-{secrets.token_hex(4)}"
        try:
            self._place(run_id).rename(gone)
        except FileNotFoundError:
            raise self._missing(run_id) from None
        _remove(gone)

    def empty(self) -> None:
        """Remove every run that lies here now."""
        for place in rundir.folders(self._root):
            try:
                self.remove(place.name)
            except NotFound:
                continue  # restored, or removed by somebody else

    def _place(self, run_id: str) -> Path:
        if not rundir.RUN_ID.fullmatch(run_id) or not (self._root / run_id).is_dir():
            raise self._missing(run_id)
        return self._root / run_id

    def _missing(self, run_id: str) -> NotFound:
        return NotFound(f"there is no run {run_id} in the trash")

    def _show(self, place: Path) -> TrashedRun:
        said = _document(place / rundir.TRASHED)
        facts: dict[str, Any] = {
            "id": place.name,
            "name": place.name,
            "config": "",
            "notes": "",
            "tags": [],
            "steps": 0,
            "created_at": "",
            "state": said.get("state"),
            "step": said.get("step"),
            "deleted_at": said.get("time", ""),
            "bytes": _bytes(place),
        }
        try:
            ask = rundir.read_ask(place)
            facts |= {"name": ask.name, "notes": ask.notes, "tags": list(ask.tags), "config": ask.config}
            facts |= {"steps": ask.spec.training.steps, "created_at": ask.created_at}
            labels = rundir.read_labels(place, ask)
            facts |= {"name": labels.name, "notes": labels.notes, "tags": list(labels.tags)}
        except (JsonError, SpecError, OSError) as error:
            log.warning("run %s in the trash: %s", place.name, error)
        return TrashedRun(**facts)


def _document(path: Path) -> dict[str, Any]:
    try:
        return rundir.read_document(path)
    except (JsonError, OSError):
        return {}


def _bytes(place: Path) -> int:
    total = 0
    for path in place.rglob("*"):
        try:
            status = path.lstat()
        except OSError:
            continue
        total += status.st_blocks * 512
    return total


def _remove(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    if place.exists():
        log.warning("%s could not be removed whole; delete it by hand", place)
