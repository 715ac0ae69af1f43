"""Runs in sessions that Kaggle lends: a job here pushes a notebook, watches it, and takes in what it leaves.

For the recorder the job is a trainer like any other: it is queued, recorded, stopped and found again after a restart
of the server by the same means, and appends the session's events to its run's folder as they come.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from backend.launchers.kaggle.credentials import VARIABLES
from evidence import record
from evidence.status import awaited


def launch(run: Path) -> None:
    """Start, or start again, to watch over the session of ``run``; returns at once."""
    command = [sys.executable, "-m", "backend.launchers.kaggle.job", str(run.resolve())]
    record.launch(run, command, resume=awaited(run) > 1, passed=[name for name in VARIABLES if name in os.environ])
