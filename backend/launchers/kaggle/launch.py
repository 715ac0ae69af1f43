"""A run at Kaggle, started by its recorder here."""

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
