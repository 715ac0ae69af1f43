"""PATCH /runs/{id}: what a run is called, in a file of its own beside what was asked for."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.errors import NotFound
from backend.runs.admission import check_name
from backend.runs.answers import LabelRequest
from evidence import rundir
from evidence.canonical import JsonError

_turn = threading.Lock()
"""So that of two changes at once, of different fields, both stay."""


def change(run: Path, request: LabelRequest) -> None:
    """Write down what ``request`` changes. Raises Invalid, NotFound."""
    changed: dict[str, Any] = {name: value for name, value in request if value is not None}
    if request.name is not None:
        check_name(request.name)
    if request.tags is not None:
        changed["tags"] = tuple(dict.fromkeys(request.tags))
    try:
        with _turn:
            ask = rundir.read_ask(run)
            try:
                known = rundir.read_labels(run, ask)
            except JsonError:
                known = rundir.Labels(ask.name, ask.notes, ask.tags)
            if (wanted := replace(known, **changed)) != known:
                rundir.write_labels(run, wanted)
    except FileNotFoundError:
        raise NotFound(f"there is no run {run.name}") from None
