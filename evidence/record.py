"""The recorder: a small detached parent of one trainer, which outlives the server.

It writes down how the run was launched, gives the trainer its own session and ``output.log``, passes SIGTERM on, and
writes ``exit.json`` whatever ends it (the idea of containerd-shim and conmon). The trainer holds ``output.log``
itself, so not even the recorder's death can stop it or lose a line.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from evidence import attempts, canonical, events, provenance, rundir
from evidence.status import alive, identity

STOP_GRACE_SECONDS = 120.0
"""How long a trainer may take from SIGTERM to its end (it saves a checkpoint) before its group is killed."""


class AlreadyLaunched(RuntimeError):
    """The run has a launch.json: somebody started it."""


def launch(run: Path, command: list[str], *, resume: bool = False) -> subprocess.Popen[bytes]:
    """Start the recorder of ``run`` for ``command``, detached from this process; returns at once.

    ``resume``: as the next attempt of a run that has ended early.
    """
    how = ["--resume"] if resume else []
    with (run / rundir.RECORDER_LOG).open("ab") as log:
        recorder = subprocess.Popen(
            [sys.executable, "-m", "evidence", "record", *how, str(run.resolve()), "--", *command],
            cwd=provenance.REPOSITORY,
            env=provenance.child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    threading.Thread(target=recorder.wait, daemon=True).start()  # reaped, should it end before this process does
    return recorder


def request_stop(run: Path) -> bool:
    """Ask the recorder of ``run`` to stop its trainer; False when it is not there any more."""
    recorder = rundir.read_document(run / rundir.LAUNCH).get("recorder", {})
    if not alive(recorder):
        return False
    try:
        os.kill(int(recorder["pid"]), signal.SIGTERM)
    except ProcessLookupError:
        return False
    return True


def record(run: Path, command: list[str], *, resume: bool = False) -> int:
    """Run ``command`` as the trainer of ``run`` and write down how it was started and how it ended.

    Returns its exit code; minus the signal's number when a signal ended it. Raises AlreadyLaunched; with ``resume``,
    CannotResume.
    """
    started_at = events.now()  # first of all, so that a stop is never older than what it stops
    stop = _Stop(run)
    signal.signal(signal.SIGTERM, stop.ask)  # before launch.json: who reads it there may ask at once
    signal.signal(signal.SIGINT, stop.ask)
    if resume:
        with attempts.next_one(run) as number:
            rundir.write_document(run / rundir.LAUNCH, _launch(run, command, started_at, number))
    else:
        _claim(run, _launch(run, command, started_at, 1))
    environment = {**provenance.child_environment(), "PYTHONUNBUFFERED": "1", "RUN_ID": run.name}
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
            )
        except OSError as error:
            output.write(f"Error: cannot start {command[0]}: {error.strerror}\n".encode())
            return _write_exit(run, 127)
    stop.take(trainer)
    rundir.write_document(run / rundir.PROCESS, identity(trainer.pid))
    return _write_exit(run, trainer.wait())


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
    """A stop that may be asked for before there is a trainer to pass it on to."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._asked = False
        self._trainer: subprocess.Popen[bytes] | None = None

    def ask(self, *_: object) -> None:
        if not self._asked:
            self._asked = True
            rundir.write_document(self._run / rundir.STOP, {"time": events.now()})
            self._pass_on()

    def take(self, trainer: subprocess.Popen[bytes]) -> None:
        self._trainer = trainer
        if self._asked:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._trainer is None:
            return
        _signal_group(self._trainer, signal.SIGTERM)
        grace = float(os.environ.get("ASSAY_STOP_GRACE", STOP_GRACE_SECONDS))
        killer = threading.Timer(grace, _signal_group, (self._trainer, signal.SIGKILL))
        killer.daemon = True
        killer.start()


def _signal_group(trainer: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if trainer.returncode is None:
        try:
            os.killpg(trainer.pid, number)
        except ProcessLookupError:
            pass  # it ended by itself


def _write_exit(run: Path, code: int) -> int:
    document: dict[str, Any] = {"exit_code": code, "ended_at": events.now()}
    if code < 0:
        document["signal"] = signal.Signals(-code).name
    rundir.write_document(run / rundir.EXIT, document)
    return code
