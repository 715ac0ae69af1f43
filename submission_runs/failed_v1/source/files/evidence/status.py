"""A run's state: a pure function of its folder, and of whether its recorded process is still alive here.

    queued     asked for, not started          stopped    ended early because somebody asked, resumable
    starting   the recorder runs, no event yet  failed     ended by an error, or by a signal nobody asked for
    running    the trainer speaks               finished   ended by itself, all steps done
    stopping   a stop was asked for             lost       not ended, and its process is gone

A resumed run is judged by its latest attempt alone: what ended before that was launched is history.

Process identity is boot id, pid and start time together: a pid alone is reused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence import events, rundir

LIVE = ("queued", "starting", "running", "stopping")
ENDED = ("finished", "failed", "stopped", "lost")


@dataclass(frozen=True)
class Status:
    """``reason`` says in one sentence why a run stands where it stands; empty when there is nothing to explain."""

    state: str
    reason: str = ""
    started_at: str = ""
    ended_at: str = ""
    exit_code: int | None = None


def status(run: Path, finished: events.Finished | None) -> Status:
    """The state of the run in ``run``; ``finished`` is its last Finished event, if it has one."""
    if cancelled := rundir.read_document(run / rundir.CANCELLED):
        return Status("stopped", "Cancelled before it started.", ended_at=cancelled["time"])
    launch = rundir.read_document(run / rundir.LAUNCH)
    if not launch:
        return Status("queued")
    started = launch["started_at"]
    if finished and finished.time < started:
        finished = None
    if ended := _since(started, run / rundir.EXIT, "ended_at"):
        return _ended(run, started, ended, finished)
    if not alive(launch["recorder"]):
        if ended := _since(started, run / rundir.EXIT, "ended_at"):  # it ended between the two looks
            return _ended(run, started, ended, finished)
        return Status(
            "lost", "The recorder of this run is gone and left no exit status; what it wrote is kept.", started
        )
    if _since(started, run / rundir.STOP, "time"):
        return Status("stopping", "Stop requested; the trainer saves a checkpoint and ends.", started)
    speaks = _size(run / rundir.EVENTS) > launch.get("events_bytes", 0)
    return Status("running" if speaks else "starting", "", started)


def _ended(run: Path, started: str, ended: dict[str, Any], finished: events.Finished | None) -> Status:
    code, at = ended["exit_code"], ended["ended_at"]
    if finished and finished.outcome == "failed":
        stage = f" while {finished.stage}" if finished.stage else ""
        reason = f"{finished.error_type}{stage}: {finished.error_message}"
        return Status("failed", reason, started, at, code)
    if finished and finished.outcome == "completed" and code == 0:
        return Status("finished", "", started, at, code)
    if finished and finished.outcome == "stopped":
        return Status("stopped", f"Stopped on request after step {finished.step}.", started, at, code)
    if _since(started, run / rundir.STOP, "time"):
        return Status("stopped", "Stopped on request before its trainer could say goodbye.", started, at, code)
    if code < 0:
        return Status("failed", f"The trainer was killed by {ended['signal']}.", started, at, code)
    reason = last_error(run) or f"The trainer ended with exit code {code} and said nothing."
    return Status("failed", reason, started, at, code)


def _since(started: str, path: Path, key: str) -> dict[str, Any]:
    """The document at ``path`` if its time ``key`` is not before ``started``; {} otherwise."""
    document = rundir.read_document(path)
    return document if document and document[key] >= started else {}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_error(run: Path) -> str:
    """The last line of the run's output that reads like an error, empty if there is none."""
    try:
        with (run / rundir.OUTPUT).open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 65_536))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    for line in reversed(lines):
        if not line.startswith(events.LOG_MARK) and re.match(r"[\w.]*(Error|Exception|Interrupt|error:)", line):
            return line.strip()[:500]
    return ""


def alive(process: dict[str, Any]) -> bool:
    """Whether the very process of ``{"boot_id", "pid", "start_ticks"}`` still runs on this host."""
    return bool(process) and identity(int(process["pid"])) == process


def identity(pid: int) -> dict[str, Any]:
    """What makes a process itself: boot id, pid, start time in clock ticks. {} when there is no such process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {}
    if after_name[0] == "Z":
        return {}
    return {"boot_id": boot, "pid": pid, "start_ticks": int(after_name[19])}
