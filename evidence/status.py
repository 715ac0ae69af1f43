"""A run's state: a pure function of its folder, and of whether its recorded process is still alive here.

    queued     asked for, not started          stopped    ended early because somebody asked, resumable
    starting   the recorder runs, no event yet  failed     ended by an error, or by a signal nobody asked for
    running    the trainer speaks               finished   ended by itself, all steps done
    stopping   a stop was asked for             lost       ended, and nobody saw how

A resumed run is judged by its latest attempt alone: what ended before that was launched is history. A run that was
asked to go on (resume.json) is queued again, until that attempt is launched or taken back.

A trainer outlives its recorder: the run goes on, but nobody will see its exit code, so it can only end as lost,
whatever its log says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evidence import events, processes, provenance, rundir

LIVE = ("queued", "starting", "running", "stopping")
ENDED = ("finished", "failed", "stopped", "lost")

WAITS = "Waits to go on after step"
"""How the reason begins of a run that ended early and is in the queue again."""

LONGEST_WORD = 1 << 16
"""Bytes of a last word, with its error message, at most."""

STOPPED_UNHEARD = "Stopped on request before its trainer could say goodbye."
KILLED_ON_REQUEST = "Killed on request, with no time to save; what it saved before is kept."

ALONE = "Its recorder is gone: it goes on and can be stopped, but nobody will see its exit code."


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
    if awaited(run) > 1:
        return Status("queued", f"{WAITS} {_saved_step(run):,}.")
    return launched(run, finished)


def awaited(run: Path) -> int:
    """The number of the attempt that is asked for and not launched: 1 for a new run, 0 for none."""
    launch = rundir.read_document(run / rundir.LAUNCH)
    if not launch:
        return 0 if (run / rundir.CANCELLED).exists() else 1
    wanted = int(rundir.read_document(run / rundir.RESUME).get("attempt", 0))
    return wanted if wanted > int(launch.get("attempt", 1)) else 0


def launched(run: Path, finished: events.Finished | None) -> Status:
    """The state of the latest attempt, whether or not a next one waits. Of a run elsewhere, what was last known of its
    session says more than what can be seen of the process here that watches it."""
    found = _launched(run, finished)
    if found.state not in LIVE and (finished or found.state not in ("stopped", "lost")):
        return found
    if says := str(rundir.read_document(run / rundir.REMOTE).get("says", "")):
        return replace(found, reason=f"{found.reason} {says}" if found.state == "lost" else says)
    return found


def _launched(run: Path, finished: events.Finished | None) -> Status:
    if cancelled := rundir.read_document(run / rundir.CANCELLED):
        return Status("stopped", "Cancelled before it started.", ended_at=cancelled["time"])
    launch = rundir.read_document(run / rundir.LAUNCH)
    if not launch:
        return Status("queued")
    started = launch["started_at"]
    if ended := of_launch(launch, run / rundir.EXIT, "ended_at"):
        return _ended(run, launch, ended, own_word(run, launch, finished))
    alone = ""
    if not processes.alive(launch["recorder"]):
        if ended := of_launch(launch, run / rundir.EXIT, "ended_at"):  # it ended between the two looks
            return _ended(run, launch, ended, own_word(run, launch, finished))
        if not processes.alive(rundir.read_document(run / rundir.PROCESS)):
            return _lost(run, launch, own_word(run, launch, finished))
        alone = ALONE
    if of_launch(launch, run / rundir.KILL):
        return Status("stopping", f"Kill requested; it ends without saving. {alone}".strip(), started)
    if of_launch(launch, run / rundir.STOP):
        return Status("stopping", f"Stop requested; the trainer saves a checkpoint and ends. {alone}".strip(), started)
    speaks = _size(run / rundir.EVENTS) > launch.get("events_bytes", 0)
    return Status("running" if speaks else "starting", alone, started)


def _lost(run: Path, launch: dict[str, Any], finished: events.Finished | None) -> Status:
    """A run whose recorder and trainer are gone from here without an exit status; what was seen at the time counts."""
    started = launch["started_at"]
    if seen := of_launch(launch, run / rundir.LOST):  # before a reboot, say
        return Status("lost", seen["reason"], started)
    if launch["recorder"].get("boot_id") != processes.boot_id():
        if launch.get("host", {}).get("name_sha256") == provenance.host_name_sha256():
            reason = "Lost at reboot: this machine was started anew before the end of the run was written down."
        else:
            reason = "Lost from sight: it was started on another machine, or before this one was started anew."
    elif not _is_of(launch, run / rundir.PROCESS):
        reason = "The recorder of this run is gone; it had not started a trainer yet."
    else:
        reason = "Ended; its exit code is unknown, because its recorder was gone by then. What it wrote is kept."
    if of_launch(launch, run / rundir.KILL):
        reason += " A kill was requested before."
    elif of_launch(launch, run / rundir.STOP):
        reason += " A stop was requested before."
    if finished:
        reason += f" Its log ends with {events.said_last(finished)}."
    return Status("lost", reason, started)


def _is_of(launch: dict[str, Any], process: Path) -> bool:
    """Whether a process document is of this launch, and not of the attempt before it: it started after its recorder."""
    found = rundir.read_document(process)
    return bool(found) and found["start_ticks"] >= launch["recorder"].get("start_ticks", 0)


def _saved_step(run: Path) -> int:
    """The step of the newest saved state."""
    names = (path.name for path in (rundir.written(run) / rundir.CHECKPOINTS).glob("step_*") if path.is_dir())
    return max((int(name[5:]) for name in names if name[5:].isdecimal()), default=0)


def _ended(run: Path, launch: dict[str, Any], ended: dict[str, Any], finished: events.Finished | None) -> Status:
    started, code, at = launch["started_at"], ended["exit_code"], ended["ended_at"]
    if finished and finished.outcome == "failed":
        stage = f" while {finished.stage}" if finished.stage else ""
        reason = f"{finished.error_type}{stage}: {finished.error_message}"
        return Status("failed", reason, started, at, code)
    if finished and finished.outcome == "completed" and code == 0:
        return Status("finished", "", started, at, code)
    if finished and finished.outcome == "stopped":
        return Status("stopped", stopped_after(finished.step), started, at, code)
    if not finished and ended.get("signal") == "SIGKILL" and of_launch(launch, run / rundir.KILL):
        return Status("stopped", KILLED_ON_REQUEST, started, at, code)
    if not finished and of_launch(launch, run / rundir.STOP):
        return Status("stopped", STOPPED_UNHEARD, started, at, code)
    if code < 0:
        return Status("failed", killed(ended), started, at, code)
    reason = last_error(run) or f"The trainer ended with exit code {code} and said nothing."
    return Status("failed", reason, started, at, code)


def killed(ended: dict[str, Any]) -> str:
    """Who killed the trainer, as far as that can be known."""
    if ended["signal"] != "SIGKILL":
        return f"The trainer was killed by {ended['signal']}."
    kills = ended.get("out_of_memory_kills", {})
    if kills.get("group"):
        return (
            "The trainer was killed by SIGKILL because memory ran out: the kernel counts an out-of-memory kill in its "
            "control group meanwhile."
        )
    if kills.get("machine"):
        return (
            "The trainer was killed by SIGKILL, most likely because memory ran out: the kernel counts an out-of-memory "
            "kill on this machine meanwhile."
        )
    if "machine" in kills:
        return "The trainer was killed by SIGKILL; not by the kernel for lack of memory, so somebody did it."
    return "The trainer was killed by SIGKILL, which the system does when memory runs out, or somebody did."


def of_launch(launch: dict[str, Any], path: Path, key: str = "time") -> dict[str, Any]:
    """The document at ``path`` if it is of the attempt of ``launch``, and not of one before it; {} otherwise.

    It says its attempt, since the clock may be set back while that runs. Where none is said, its time ``key`` decides.
    """
    document = rundir.read_document(path)
    if "attempt" in document:
        return document if document["attempt"] == launch.get("attempt", 1) else {}
    return document if document and document[key] >= launch["started_at"] else {}


def own_word(run: Path, launch: dict[str, Any], finished: events.Finished | None) -> events.Finished | None:
    """``finished``, the last word in the log, if the attempt of ``launch`` said it and not one before it: that is
    where the log ends, behind what earlier attempts said."""
    if not finished or launch.get("attempt", 1) == 1:
        return finished
    if "events_bytes" not in launch:
        return finished if finished.time >= launch["started_at"] else None
    log = run / rundir.EVENTS
    lines, _ = rundir.whole_lines(log, max(launch["events_bytes"], _size(log) - LONGEST_WORD), limit_bytes=-1)
    return finished if lines and b'"kind":"finished"' in lines[-1] else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def stopped_after(step: int) -> str:
    return f"Stopped on request after step {step}."


def error_in(line: str) -> tuple[str, str]:
    """The type and the message of an error that a line of a log tells."""
    kind, _, message = line[:500].partition(": ")
    return kind, message


def untold_error(exit_code: int) -> str:
    """The type of an error that nothing was said of."""
    return "Killed" if exit_code < 0 else "unknown error"


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
