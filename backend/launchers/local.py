"""Runs on this machine: a detached recorder, which outlives this server, starts the trainer."""

from __future__ import annotations

from pathlib import Path

from evidence import record


def launch(run: Path, trainer_command: tuple[str, ...]) -> None:
    """Start the run's trainer; returns at once. The recorder refuses a run that was started before."""
    record.launch(run, [*trainer_command, str(run.resolve())])


def request_stop(run: Path) -> bool:
    """Ask the run to stop; False when it is not there any more."""
    return record.request_stop(run)
