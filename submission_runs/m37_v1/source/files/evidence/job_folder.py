"""A folder of jobs: each job a folder made whole, its process started and cancelled, and where it stands: a function of
the folder alone, so that a server, its restart and the command line share one list.

    queued     asked for, not started        done       there is a result
    running    its process is alive          failed     there is an error, or its process is gone without a word
    cancelled  somebody took it back

    request.json     who asks, once        what is to be done
    launch.json      who starts it, once   command, start and process
    progress.jsonl   the job, append       one Progress a line
    output.log       who starts it         what the job printed
    error.json       the job, once, last   {"message", "field"}, where there is no result
    exit.json        who started it, once  how the process ended, where that was seen
    cancelled.json   who takes it back     then its process was stopped
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evidence import canonical, events, processes, provenance, rundir, typed
from evidence.processes import alive, identity
from evidence.status import last_error

REQUEST, PROGRESS, ERROR, OUTPUT = "request.json", "progress.jsonl", "error.json", "output.log"
JOB_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
GOING_ON = (QUEUED, RUNNING)

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` parts (the total may grow); ``doing`` says what goes on now."""

    time: str
    done: int
    total: int
    doing: str


@dataclass(frozen=True)
class Standing:
    """``reason`` says why a job failed or was cancelled, in a sentence; times are empty where there are none."""

    state: str
    reason: str = ""
    started_at: str = ""
    ended_at: str = ""


@dataclass(frozen=True)
class Kind:
    """``noun``: what such a job is called. ``result``: the file that it leaves when it is done, and its name in a
    sentence. ``killed_by``: what ends it when it is taken back."""

    noun: str
    result: str
    result_name: str
    killed_by: signal.Signals = signal.SIGKILL

    def standing(self, folder: Path) -> Standing:
        """Where the job in ``folder`` stands. What it has brought counts more than how its process ended."""
        launch, ended = document(folder / rundir.LAUNCH), document(folder / rundir.EXIT)
        started = str(launch.get("started_at", ""))
        if (folder / self.result).is_file():
            return Standing(DONE, "", started, _written(folder / self.result))
        if cancelled := document(folder / rundir.CANCELLED):
            return Standing(CANCELLED, "Cancelled on request.", started, str(cancelled.get("time", "")))
        if (folder / ERROR).is_file():
            message = document(folder / ERROR).get("message") or f"{ERROR} does not say why."
            return Standing(FAILED, str(message), started, _written(folder / ERROR))
        if not launch:
            return Standing(QUEUED)
        if alive(launch.get("process", {})):
            return Standing(RUNNING, "", started)
        if (folder / self.result).is_file() or (folder / ERROR).is_file():
            return self.standing(folder)  # it ended between the two looks
        return Standing(FAILED, self._silent_end(folder, ended), started, str(ended.get("ended_at", "")))

    def cancel(self, folder: Path) -> bool:
        """Take the job back and end its process group; False when it has ended already."""
        if self.standing(folder).state not in GOING_ON:
            return False
        rundir.write_document(folder / rundir.CANCELLED, {"time": events.now()})
        process = document(folder / rundir.LAUNCH).get("process", {})
        if process and process["pid"] != os.getpid():
            processes.send(process, self.killed_by, group=True)
        return True

    def place(self, folder: Path) -> int:
        """The place of a queued job among its like, from 1."""
        earlier = (item for item in folders(folder.parent) if item.name < folder.name)
        return 1 + sum(self.standing(item).state == QUEUED for item in earlier)

    def _silent_end(self, folder: Path, ended: dict[str, Any]) -> str:
        """Why a job without a result is gone, as far as anybody knows."""
        code = ended.get("exit_code")
        if isinstance(code, int) and code < 0:
            name = signal.Signals(-code).name
            memory = "; the kernel does that when memory runs out" if name == "SIGKILL" else ""
            return f"The {self.noun}'s process was killed by {name}{memory}. Ask again on a machine with more to spare."
        if said := last_error(folder):
            return said
        how = f"ended with exit code {code}" if isinstance(code, int) else "is gone"
        return f"The {self.noun}'s process {how} and left {self.result_name}; its log may say why. Ask again."


def create(root: Path, request: Any, command: Sequence[str] = ()) -> Path:
    """A new folder below ``root``. With ``command`` it is the caller's to start, and nobody takes it for queued."""
    root.mkdir(parents=True, exist_ok=True)
    _, draft = rundir.reserve(root)
    rundir.write_document(draft / REQUEST, typed.write(request))
    if command:
        _write_launch(draft, command, os.getpid())
    return draft.rename(root / draft.name.removeprefix(rundir.DRAFT))


def folders(root: Path) -> list[Path]:
    """The jobs below ``root``, oldest first."""
    if not root.is_dir():
        return []
    found = (path for path in root.iterdir() if JOB_ID.fullmatch(path.name))
    return sorted(path for path in found if (path / REQUEST).is_file())


def created_at(folder: Path) -> str:
    """The moment that the folder's name tells."""
    return events.stamp(datetime.strptime(folder.name, "%Y%m%d-%H%M%S-%f").replace(tzinfo=UTC))


def said_since(folder: Path, offset: int) -> tuple[list[Progress], int]:
    """What the job said from byte ``offset`` of its progress on, and the offset behind it."""
    lines, end = rundir.whole_lines(folder / PROGRESS, offset)
    said = []
    for line in lines:
        try:
            said.append(typed.read(Progress, canonical.decode(line)))
        except ValueError:
            continue  # a line of another version says nothing here
    return said, end


def progress(folder: Path) -> Progress | None:
    """The latest that the job said, if it has said anything."""
    said, _ = said_since(folder, 0)
    return said[-1] if said else None


def say(folder: Path, done: int, total: int, doing: str) -> None:
    """The job's own word."""
    with (folder / PROGRESS).open("a", encoding="utf-8") as log:
        log.write(canonical.encode(typed.write(Progress(events.now(), done, total, doing))) + "\n")


def start(folder: Path, command: Sequence[str]) -> Process:
    """Start the job of ``folder`` in a session of its own, so that it outlives who started it. Raises OSError, for one
    that was taken back before, too."""
    if (folder / rundir.CANCELLED).exists():
        raise OSError(errno.ECANCELED, "it was cancelled")
    words = [*command, str(folder.resolve())]
    with (folder / OUTPUT).open("ab") as output:
        process = subprocess.Popen(
            words,
            cwd=provenance.REPOSITORY,
            env={**provenance.child_environment(), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _write_launch(folder, words, process.pid)
    return process


def wait(folder: Path, process: Process) -> int:
    """Wait for a job that this process started, and write down how it ended."""
    code = process.wait()
    rundir.write_document(folder / rundir.EXIT, {"exit_code": code, "ended_at": events.now()})
    return code


def fail(folder: Path, message: str, field: str = "") -> None:
    """Write down why there is no result."""
    rundir.write_document(folder / ERROR, {"message": message, "field": field})


def document(path: Path) -> dict[str, Any]:
    """A document of a job's folder; empty where it cannot be read."""
    try:
        return rundir.read_document(path)
    except canonical.JsonError:
        return {}


def _write_launch(folder: Path, command: Sequence[str], pid: int) -> None:
    launch = {"command": list(command), "started_at": events.now(), "process": identity(pid)}
    rundir.write_document(folder / rundir.LAUNCH, launch)


def _written(path: Path) -> str:
    return events.stamp(datetime.fromtimestamp(path.stat().st_mtime, UTC))
