"""Runs on this machine: a detached recorder, which outlives this server, starts the trainer."""

from __future__ import annotations

from pathlib import Path

from evidence import record
from evidence.status import awaited


def launch(run: Path, trainer_command: tuple[str, ...]) -> None:
    """Start the attempt that is asked for; returns at once. The recorder refuses one that was started before."""
    record.launch(run, [*trainer_command, str(run.resolve())], resume=awaited(run) > 1)


def request_stop(run: Path) -> bool:
    """Ask the run to stop; False when it is not there any more."""
    return record.request_stop(run)


def request_kill(run: Path) -> bool:
    """Kill the run's trainer with its group; False when it is not there any more."""
    return record.request_kill(run)
