"""The preflight folder: made whole, its job started and cancelled, and where it stands: a function of the folder alone.

    queued     asked for, not started        done       there is a report
    running    its process is alive          failed     there is an error, or its process is gone without a word
    cancelled  somebody took it back

Beside what evidence/preflight.py names there are, as in a run folder, ``launch.json`` (command, start and process, by
who starts the job), ``exit.json`` (how that process ended, where its parent saw it) and ``cancelled.json``.
"""

from __future__ import annotations

import errno
import os
import platform
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from evidence import canonical, events, preflight, provenance, rundir, typed
from evidence.hardware import TOPOLOGIES, Topology
from evidence.preflight import PREFLIGHT_ID, Progress, Report, Request
from evidence.preflight_comparison import attempt_of
from evidence.spec import Problem, RunSpec, SpecError, parse
from evidence.status import alive, identity, last_error

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
GOING_ON = (QUEUED, RUNNING)

Process = subprocess.Popen[bytes]


class Unreadable(ValueError):
    """The folder holds no such document of this version; the message names the file."""


@dataclass(frozen=True)
class Standing:
    """``reason`` says why a preflight failed or was cancelled, in a sentence; times are empty where there are none."""

    state: str
    reason: str = ""
    started_at: str = ""
    ended_at: str = ""


def topology(name: str) -> Topology:
    """The topology of this name. Raises SpecError that lists those there are."""
    if name not in TOPOLOGIES:
        known = ", ".join(TOPOLOGIES)
        raise SpecError([Problem("topology", f"topology must be one of {known}, got {name[:80]!r}")])
    return TOPOLOGIES[name]


def create(root: Path, request: Request, command: Sequence[str] = ()) -> Path:
    """A new folder below ``root``. With ``command`` it is the caller's to start, and nobody takes it for queued."""
    root.mkdir(parents=True, exist_ok=True)
    _, draft = rundir.reserve(root)
    rundir.write_document(draft / preflight.REQUEST, typed.write(request))
    if command:
        _write_launch(draft, command, os.getpid())
    return draft.rename(root / draft.name.removeprefix(rundir.DRAFT))


def folders(root: Path) -> list[Path]:
    """The preflights below ``root``, oldest first."""
    if not root.is_dir():
        return []
    found = (path for path in root.iterdir() if PREFLIGHT_ID.fullmatch(path.name))
    return sorted(path for path in found if (path / preflight.REQUEST).is_file())


def created_at(folder: Path) -> str:
    """The moment that the folder's name tells."""
    return events.stamp(datetime.strptime(folder.name, "%Y%m%d-%H%M%S-%f").replace(tzinfo=UTC))


def read_request(folder: Path) -> Request:
    """Raises Unreadable."""
    return _read(Request, folder / preflight.REQUEST)  # type: ignore[no-any-return]


def read_report(path: Path) -> Report:
    """The report in the file at ``path``: a preflight's, or the copy that a run keeps. Raises Unreadable."""
    return _read(Report, path)  # type: ignore[no-any-return]


def said_since(folder: Path, offset: int) -> tuple[list[Progress], int]:
    """What the job said from byte ``offset`` of its progress on, and the offset behind it."""
    lines, end = rundir.whole_lines(folder / preflight.PROGRESS, offset)
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


def standing(folder: Path) -> Standing:
    """Where the preflight in ``folder`` stands. What it has brought counts more than how its process ended."""
    launch, ended = _document(folder / rundir.LAUNCH), _document(folder / rundir.EXIT)
    started = str(launch.get("started_at", ""))
    if (folder / preflight.REPORT).is_file():
        return Standing(DONE, "", started, _written(folder / preflight.REPORT))
    if cancelled := _document(folder / rundir.CANCELLED):
        return Standing(CANCELLED, "Cancelled on request.", started, str(cancelled.get("time", "")))
    if (folder / preflight.ERROR).is_file():
        message = _document(folder / preflight.ERROR).get("message") or f"{preflight.ERROR} does not say why."
        return Standing(FAILED, str(message), started, _written(folder / preflight.ERROR))
    if not launch:
        return Standing(QUEUED)
    if alive(launch.get("process", {})):
        return Standing(RUNNING, "", started)
    if (folder / preflight.REPORT).is_file() or (folder / preflight.ERROR).is_file():
        return standing(folder)  # it ended between the two looks
    return Standing(FAILED, _silent_end(folder, ended), started, str(ended.get("ended_at", "")))


def start(folder: Path, command: Sequence[str]) -> Process:
    """Start the job of ``folder`` in a session of its own, so that it outlives who started it. Raises OSError, for one
    that was taken back before, too."""
    if (folder / rundir.CANCELLED).exists():
        raise OSError(errno.ECANCELED, "it was cancelled")
    words = [*command, str(folder.resolve())]
    with (folder / preflight.OUTPUT).open("ab") as output:
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


def fail(folder: Path, message: str) -> None:
    """Write down why there is no report."""
    rundir.write_document(folder / preflight.ERROR, {"message": message, "field": ""})


def cancel(folder: Path) -> bool:
    """Take the preflight back and kill its job, children included; False when it has ended already.

    Killed, not asked: a compiler answers no signal for minutes, nothing of it is worth keeping, and the kernel lets go
    of its locks.
    """
    if standing(folder).state not in GOING_ON:
        return False
    rundir.write_document(folder / rundir.CANCELLED, {"time": events.now()})
    process = _document(folder / rundir.LAUNCH).get("process", {})
    if alive(process) and process["pid"] != os.getpid():
        try:
            os.killpg(int(process["pid"]), signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended by itself
    return True


def equal(root: Path, asked: Request) -> Path | None:
    """The newest preflight below ``root`` that asks the same and is done, by the same compiler, or going on."""
    spec = parse(asked.spec)
    for folder in reversed(folders(root)):
        state = standing(folder).state
        try:
            if state == DONE and _answers(read_report(folder / preflight.REPORT), asked, spec):
                return folder
            if state in GOING_ON and _asks_the_same(read_request(folder), asked, spec):
                return folder
        except (Unreadable, SpecError):
            continue  # of another version, or broken: it answers nothing
    return None


def newest_for(root: Path, spec: RunSpec) -> Path | None:
    """The report file of the newest preflight below ``root`` in which the very step of ``spec`` was compiled, by the
    code and the compiler that are here."""
    for folder in reversed(folders(root)):
        path = folder / preflight.REPORT
        try:
            if path.is_file() and attempt_of(report := read_report(path), spec):
                asked = read_request(folder)
                if _answers(report, asked, parse(asked.spec)):
                    return path
        except (Unreadable, SpecError):
            continue
    return None


def _answers(report: Report, asked: Request, spec: RunSpec) -> bool:
    versions = {name: _installed(name, version) for name, version in report.versions.items()}
    place = topology(asked.topology)
    return report.key == preflight.key(spec, place, versions, search=asked.search, largest=asked.largest)


def _asks_the_same(other: Request, asked: Request, spec: RunSpec) -> bool:
    if (other.topology, other.search, other.largest) != (asked.topology, asked.search, asked.largest):
        return False
    return preflight.program_settings(parse(other.spec)) == preflight.program_settings(spec)


def _installed(name: str, otherwise: str) -> str:
    """The version of a package here; ``otherwise`` for a name that is no package's."""
    if name == "python":
        return platform.python_version()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return otherwise if name not in ("jax", "jaxlib", "libtpu") else ""


def _write_launch(folder: Path, command: Sequence[str], pid: int) -> None:
    document = {"command": list(command), "started_at": events.now(), "process": identity(pid)}
    rundir.write_document(folder / rundir.LAUNCH, document)


def _silent_end(folder: Path, ended: dict[str, Any]) -> str:
    """Why a job without a report is gone, as far as anybody knows."""
    code = ended.get("exit_code")
    if isinstance(code, int) and code < 0:
        name = signal.Signals(-code).name
        memory = "; the kernel does that when memory runs out" if name == "SIGKILL" else ""
        return f"The preflight's process was killed by {name}{memory}. Ask again on a machine with more to spare."
    if said := last_error(folder):
        return said
    how = f"ended with exit code {code}" if isinstance(code, int) else "is gone"
    return f"The preflight's process {how} and left no report; its log may say why. Ask again."


def _read(cls: type, path: Path) -> Any:
    try:
        return typed.read(cls, canonical.read(path))
    except OSError as error:
        raise Unreadable(f"{path.name}: {error.strerror}") from None
    except ValueError as error:
        raise Unreadable(f"{path.name} is not of this version: {error}") from None


def _document(path: Path) -> dict[str, Any]:
    try:
        return rundir.read_document(path)
    except canonical.JsonError:
        return {}


def _written(path: Path) -> str:
    return events.stamp(datetime.fromtimestamp(path.stat().st_mtime, UTC))
