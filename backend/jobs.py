"""One job at a time of a kind, in the order they were asked for: each of them wants the whole machine.

The queue is the folders that are queued; nothing of it is kept elsewhere. A job outlives the server that started it,
so a restart finds it running, or finds that it is gone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from backend.errors import Conflict
from evidence import job_folder
from evidence.job_folder import GOING_ON, QUEUED, RUNNING, Kind

LOOK_SECONDS = 0.5
"""Between two looks at a job of somebody else's: the child of an earlier server, or one of the command line."""

log = logging.getLogger("assay")


class Jobs:
    """The jobs of one ``kind`` below ``root``. ``command`` gets the job's folder as last word."""

    def __init__(self, kind: Kind, root: Path, command: tuple[str, ...]) -> None:
        self._kind, self._root, self._command = kind, root, command
        self._turn = threading.Lock()
        self._ended: set[str] = set()
        self._end, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"{kind.noun}s", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a job that runs goes on."""
        self._end.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()

    def wake(self) -> None:
        self._woken.set()

    def admit(self, request: object, known: Callable[[], Path | None] = lambda: None) -> tuple[Path, bool]:
        """The folder that answers ``request``, and whether ``known`` found it there: two who ask at once get the same
        one. ``known`` may raise instead."""
        with self._turn:
            found = known()
            folder = found or job_folder.create(self._root, request)
        self.wake()
        return folder, found is not None

    def cancel(self, folder: Path) -> None:
        """Raises Conflict for one that has ended."""
        with self._turn:
            if not self._kind.cancel(folder):
                state = self._kind.standing(folder).state
                raise Conflict(f"{self._kind.noun} {folder.name} is {state} already; there is nothing to cancel")
        self.wake()

    def _work(self) -> None:
        while not self._end.is_set():
            self._woken.clear()
            try:
                busy = self._advance()
            except Exception:
                log.exception("looking after the %ss failed; trying again", self._kind.noun)
                busy = True
            self._woken.wait(LOOK_SECONDS if busy else None)

    def _advance(self) -> bool:
        """Start the next one if none runs; whether any is going on."""
        with self._turn:
            standings = {}
            for folder in job_folder.folders(self._root):
                if folder.name not in self._ended:
                    standings[folder] = state = self._kind.standing(folder).state
                    if state not in GOING_ON:
                        self._ended.add(folder.name)
            if RUNNING in standings.values():
                return True
            return any(self._start(folder) for folder, state in standings.items() if state == QUEUED)

    def _start(self, folder: Path) -> bool:
        try:
            process = job_folder.start(folder, self._command)
        except OSError as error:
            log.error("%s %s could not be started: %s", self._kind.noun, folder.name, error)
            job_folder.fail(folder, f"The {self._kind.noun} could not be started: {error.strerror}.")
            return False
        threading.Thread(target=self._watch, args=(folder, process), daemon=True).start()
        return True

    def _watch(self, folder: Path, process: job_folder.Process) -> None:
        job_folder.wait(folder, process)
        self.wake()
