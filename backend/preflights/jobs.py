"""One preflight at a time, in the order they were asked for: the compiler allows one process, and needs the machine.

The queue is the folders that are queued; nothing of it is kept elsewhere. A job outlives the server that started it,
so a restart finds it running, or finds that it is gone.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from backend.errors import Conflict
from evidence import preflight_folder
from evidence.preflight import Request
from evidence.preflight_folder import GOING_ON, QUEUED, RUNNING

LOOK_SECONDS = 0.5
"""Between two looks at a job of somebody else's: the child of an earlier server, or one of the command line."""

log = logging.getLogger("assay")


class Jobs:
    """``command`` gets the preflight's folder as last word."""

    def __init__(self, root: Path, command: tuple[str, ...]) -> None:
        self._root, self._command = root, command
        self._turn = threading.Lock()
        self._ended: set[str] = set()
        self._end, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="preflights", daemon=True)

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

    def admit(self, asked: Request, fresh: bool) -> tuple[Path, bool]:
        """The folder that answers ``asked``, and whether it was there: two who ask at once get the same one."""
        with self._turn:
            known = None if fresh else preflight_folder.equal(self._root, asked)
            folder = known or preflight_folder.create(self._root, asked)
        self.wake()
        return folder, known is not None

    def cancel(self, folder: Path) -> None:
        """Raises Conflict for one that has ended."""
        with self._turn:
            if not preflight_folder.cancel(folder):
                state = preflight_folder.standing(folder).state
                raise Conflict(f"preflight {folder.name} is {state} already; there is nothing to cancel")
        self.wake()

    def _work(self) -> None:
        while not self._end.is_set():
            self._woken.clear()
            try:
                busy = self._advance()
            except Exception:
                log.exception("looking after the preflights failed; trying again")
                busy = True
            self._woken.wait(LOOK_SECONDS if busy else None)

    def _advance(self) -> bool:
        """Start the next one if none runs; whether any is going on."""
        with self._turn:
            standings = {}
            for folder in preflight_folder.folders(self._root):
                if folder.name not in self._ended:
                    standings[folder] = state = preflight_folder.standing(folder).state
                    if state not in GOING_ON:
                        self._ended.add(folder.name)
            if RUNNING in standings.values():
                return True
            return any(self._start(folder) for folder, state in standings.items() if state == QUEUED)

    def _start(self, folder: Path) -> bool:
        try:
            process = preflight_folder.start(folder, self._command)
        except OSError as error:
            message = f"The preflight could not be started: {error.strerror}."
            log.error("preflight %s could not be started: %s", folder.name, error)
            preflight_folder.fail(folder, message)
            return False
        threading.Thread(target=self._watch, args=(folder, process), daemon=True).start()
        return True

    def _watch(self, folder: Path, process: preflight_folder.Process) -> None:
        preflight_folder.wait(folder, process)
        self.wake()
