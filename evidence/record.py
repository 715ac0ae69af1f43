"""The recorder: a small detached parent of one trainer, which outlives the server.

It writes down how the run was launched, gives the trainer its own session and ``output.log``, passes SIGTERM on, and
writes ``exit.json`` whatever ends it (the idea of containerd-shim and conmon). The trainer holds ``output.log``
itself, so not even the recorder's death can stop it or lose a line.

Intent comes before deed: ``launch.json``, which only one recorder can write, before there is a trainer, and
``process.json``, by the trainer's own process, before that becomes the trainer. Whoever dies in between leaves a run
that is known to go on, or known not to have begun; never one that could be started twice. When the trainer ends,
whatever it started and left behind is ended, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evidence import attempts, canonical, events, memory, processes, provenance, rundir
from evidence.canonical import JsonError
from evidence.processes import alive, identity
from evidence.status import of_launch
from evidence.system import Sampler

STOP_GRACE_SECONDS = 120.0
"""How long a trainer may take from SIGTERM to its end (it saves a checkpoint) before its group is killed."""

LEFT_BEHIND_GRACE_SECONDS = 2.0
"""How long a process that the trainer left behind may take to end before it is killed."""


class AlreadyLaunched(RuntimeError):
    """The run has a launch.json: somebody started it."""


def launch(
    run: Path, command: list[str], *, resume: bool = False, passed: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start the recorder of ``run`` for ``command``, detached from this process; returns at once.

    ``resume``: as the next attempt of a run that has ended early. ``passed``: variables that the command gets besides
    those that every trainer gets.
    """
    how = ["--resume"] if resume else []
    return _detached(run, ["record", *how, str(run.resolve()), "--", *command], passed)


def _detached(run: Path, words: list[str], passed: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """``python -m evidence`` with ``words``, in a session of its own."""
    environment = {**os.environ, provenance.ALSO_PASSED: ",".join(passed)} if passed else os.environ
    with (run / rundir.RECORDER_LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "evidence", *words],
            cwd=provenance.REPOSITORY,
            env=provenance.child_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # reaped, should it end before this process does
    return process


def request_stop(run: Path) -> bool:
    """Ask ``run`` to stop: its recorder, or where that is gone, its trainer; False when neither is there any more."""
    launch = rundir.read_document(run / rundir.LAUNCH)
    if processes.send(launch.get("recorder", {}), signal.SIGTERM):
        return True
    trainer = rundir.read_document(run / rundir.PROCESS)
    if not alive(trainer):
        return False
    rundir.write_document(run / rundir.STOP, {"time": events.now(), "attempt": launch.get("attempt", 1)})
    if not processes.send(trainer, signal.SIGTERM, group=True):
        return False
    _detached(run, ["see-out", str(run.resolve())])
    return True


def request_kill(run: Path) -> bool:
    """Kill the trainer of ``run`` with its group, now; False when neither it nor its recorder is there any more.

    That it was asked for is on disk before it is done: a recorder that has no trainer yet reads it there.
    """
    launch = rundir.read_document(run / rundir.LAUNCH)
    recorder, trainer = launch.get("recorder", {}), rundir.read_document(run / rundir.PROCESS)
    if not alive(recorder) and not alive(trainer):
        return False
    rundir.write_document(run / rundir.KILL, {"time": events.now(), "attempt": launch.get("attempt", 1)})
    killed = processes.send(trainer, signal.SIGKILL, group=True)
    return processes.send(recorder, signal.SIGTERM) or killed


def see_out(run: Path) -> None:
    """See a trainer to its end that lost its recorder and was asked to stop: after the grace period it is killed."""
    trainer = rundir.read_document(run / rundir.PROCESS)
    if trainer and not processes.wait(trainer, _grace_seconds()):
        processes.send(trainer, signal.SIGKILL, group=True)
        processes.wait(trainer, 5.0)
    sweep(run)


def sweep(run: Path, reason: str = "") -> int:
    """End what a lost run left behind, found by the id in its environment; how many processes that were. While its
    recorder or its trainer is there, or where its folder cannot be read, nothing is done.

    ``reason``: what is known of the loss now, to be written down: after the next reboot less would be.
    """
    try:
        launch = rundir.read_document(run / rundir.LAUNCH)
        if not launch or launch["recorder"]["boot_id"] != processes.boot_id():
            return 0
        if alive(launch["recorder"]) or alive(rundir.read_document(run / rundir.PROCESS)):
            return 0
        attempt = int(launch.get("attempt", 1))
        if reason and not of_launch(launch, run / rundir.LOST):
            rundir.write_document(run / rundir.LOST, {"time": events.now(), "attempt": attempt, "reason": reason})
    except (OSError, JsonError, LookupError, TypeError, ValueError):
        return 0
    return processes.end(processes.of_run(run, attempt), LEFT_BEHIND_GRACE_SECONDS)


def record(run: Path, command: list[str], *, resume: bool = False) -> int:
    """Run ``command`` as the trainer of ``run`` and write down how it was started and how it ended.

    Returns its exit code; minus the signal's number when a signal ended it. Raises AlreadyLaunched; with ``resume``,
    CannotResume.
    """
    started_at = events.now()
    number = int(rundir.read_document(run / rundir.LAUNCH).get("attempt", 1)) + 1 if resume else 1
    stop = _Stop(run, number)
    signal.signal(signal.SIGTERM, stop.ask)  # before launch.json: who reads it there may ask at once
    signal.signal(signal.SIGINT, stop.ask)
    if resume:
        with attempts.next_one(run) as number:
            rundir.write_document(run / rundir.LAUNCH, _launch(run, command, started_at, number))
        processes.end(processes.of_run(run, number - 1), LEFT_BEHIND_GRACE_SECONDS)
    else:
        _claim(run, _launch(run, command, started_at, number))
    environment = {
        **provenance.child_environment(),
        "PYTHONUNBUFFERED": "1",
        processes.RUN_ID: run.name,
        processes.RUN_FOLDER: str(run.resolve()),
        processes.RUN_ATTEMPT: str(number),
    }
    processes.adopt_orphans()
    killed_before = memory.kills()
    torn = rundir.has_torn_line(run / rundir.OUTPUT)
    with (run / rundir.OUTPUT).open("ab") as output:
        if torn:
            output.write(b"\n")
            output.flush()
        try:
            trainer = subprocess.Popen(
                command,
                cwd=provenance.REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=partial(_introduce, run, os.getpid()),
            )
        except (OSError, subprocess.SubprocessError) as error:
            why = getattr(error, "strerror", "") or f"{rundir.PROCESS} could not be written"
            output.write(f"Error: cannot start {command[0]}: {why}\n".encode())
            return _write_exit(run, number, 127)
    stop.take(trainer)
    sampler = Sampler(run / rundir.SYSTEM)
    sampler.start()
    # Its pid stays its own until it is waited for, so the group can be told safely until then.
    os.waitid(os.P_PID, trainer.pid, os.WEXITED | os.WNOWAIT)
    ended_at = events.now()
    sampler.stop()
    left_behind = _end_the_rest(run, number)
    code = trainer.wait()
    return _write_exit(run, number, code, ended_at, left_behind, memory.since(killed_before) if code < 0 else {})


def _introduce(run: Path, recorder: int) -> None:
    """In the trainer's process, before it becomes the trainer: nobody trains whose identity is not on disk."""
    rundir.write_document(run / rundir.PROCESS, identity(os.getpid()))
    if os.getppid() != recorder:
        os._exit(1)  # the recorder died meanwhile


def _end_the_rest(run: Path, attempt: int) -> int:
    """End what the trainer left behind: in its group, below this process, or with its run's id; how many there were."""
    below = [process for item in processes.below(os.getpid()) if (process := identity(item.pid))]
    known = {process["pid"] for process in below}
    marked = [process for process in processes.of_run(run, attempt) if process["pid"] not in known]
    return processes.end([*below, *marked], LEFT_BEHIND_GRACE_SECONDS)


def _launch(run: Path, command: list[str], started_at: str, attempt: int) -> dict[str, Any]:
    """The document of launch.json; writes the proof of its commit. ``events_bytes``: what earlier attempts said."""
    source = provenance.source()
    if source["kind"] == "git":
        rundir.write_document(run / rundir.COMMIT, provenance.commit_proof(source["commit"]))
    said = run / rundir.EVENTS
    return {
        "schema": "assay/launch@1",
        "run_id": run.name,
        "attempt": attempt,
        "started_at": started_at,
        "events_bytes": said.stat().st_size if said.exists() else 0,
        "command": command,
        "recorder": identity(os.getpid()),
        "host": provenance.host(),
        "python": sys.version.split()[0],
        "packages": provenance.packages(),
        "environment": provenance.recorded_environment(),
        "source": source,
    }


def _claim(run: Path, document: dict[str, Any]) -> None:
    """Write launch.json, which only one recorder can do."""
    draft = run / f".launch.{os.getpid()}"
    draft.write_text(canonical.pretty(document), encoding="utf-8")
    try:
        os.link(draft, run / rundir.LAUNCH)
    except FileExistsError:
        raise AlreadyLaunched(f"{run.name} was launched already") from None
    finally:
        draft.unlink()


class _Stop:
    """A stop, or a kill, that may be asked for before there is a trainer to pass it on to."""

    def __init__(self, run: Path, attempt: int) -> None:
        self._run, self._attempt = run, attempt
        self._asked = False
        self._trainer: subprocess.Popen[bytes] | None = None

    def ask(self, *_: object) -> None:
        if not self._shall_kill():
            if self._asked:
                return
            rundir.write_document(self._run / rundir.STOP, {"time": events.now(), "attempt": self._attempt})
        self._asked = True
        self._pass_on()

    def take(self, trainer: subprocess.Popen[bytes]) -> None:
        self._trainer = trainer
        if self._asked:
            self._pass_on()

    def _shall_kill(self) -> bool:
        try:
            return bool(rundir.read_document(self._run / rundir.KILL).get("attempt") == self._attempt)
        except (OSError, JsonError, TypeError):
            return False

    def _pass_on(self) -> None:
        if self._trainer is None:
            return
        if self._shall_kill():
            _signal_group(self._trainer, signal.SIGKILL)
            return
        _signal_group(self._trainer, signal.SIGTERM)
        killer = threading.Timer(_grace_seconds(), _signal_group, (self._trainer, signal.SIGKILL))
        killer.daemon = True
        killer.start()


def _signal_group(trainer: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if trainer.returncode is None:
        try:
            os.killpg(trainer.pid, number)
        except ProcessLookupError:
            pass  # it ended by itself


def _grace_seconds() -> float:
    return float(os.environ.get("ASSAY_STOP_GRACE", STOP_GRACE_SECONDS))


def _write_exit(
    run: Path,
    attempt: int,
    code: int,
    ended_at: str = "",
    left_behind: int = 0,
    out_of_memory_kills: dict[str, int] | None = None,
) -> int:
    document: dict[str, Any] = {"attempt": attempt, "exit_code": code, "ended_at": ended_at or events.now()}
    if code < 0:
        document["signal"] = signal.Signals(-code).name
        document["out_of_memory_kills"] = out_of_memory_kills or {}
    if left_behind:
        document["left_behind"] = left_behind
    rundir.write_document(run / rundir.EXIT, document)
    return code
