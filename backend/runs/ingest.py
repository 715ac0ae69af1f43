"""Events into rows. The byte offset moves in the transaction that writes the rows, so a crash loses nothing.

Nor does it double anything: lines are read once, from the offset that stands in the index. What a resumed run does
again was taken back before. A log that was cut off or replaced is read from its beginning, as another generation of
itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from backend import tables
from backend.database import insert
from backend.runs import chunks, rows
from backend.runs.answers import STEP_COLUMNS
from backend.runs.tail import Piece
from evidence import canonical, events
from evidence.rundir import Ask, Labels
from evidence.status import Status

PACE_WEIGHT = 0.05
"""Share of the newest step in the moving average from which the time left is told."""
LOSS, SECONDS = STEP_COLUMNS.index("loss"), STEP_COLUMNS.index("step_seconds")
LATEST = select(func.max(tables.runs.c.revision))
_RUN = select(tables.runs).where(tables.runs.c.id == bindparam("of"))
_UPDATE = update(tables.runs).where(tables.runs.c.id == bindparam("of"))
TOGETHER = 8
"""From so many lines on, rows are read together."""
SPARK_POINTS = 39
"""Kept losses of a run; its latest one makes them 40."""

UNREAD: dict[str, Any] = {
    "offset": 0,
    "mark": "",
    "invalid_lines": 0,
    "phase": None,
    "hardware": None,
    "parameters": None,
    "exact_match": None,
    "step": 0,
    "loss": None,
    "learning_rate": None,
    "tokens": 0,
    "tokens_per_second": None,
    "pace_seconds": None,
    "spark": [],
}
"""What is known of a run none of whose events was read."""


def add(connection: Connection, ask: Ask, labels: Labels) -> None:
    """A row for a run folder, nothing of it read yet. Adding it again changes nothing."""
    row = {
        "id": ask.run_id,
        **_labels(labels),
        "config": ask.config,
        "device": ask.spec.device,
        "created_at": ask.created_at,
        "steps": ask.spec.training.steps,
        "state": "queued",
        "reason": "",
        "bundles": [],
        "alerts": [],
        "turn": ask.run_id,
        "slot": slot(ask),
        **UNREAD,
        "generation": 0,
        "revision": _revision(connection),
    }
    connection.execute(insert(connection, tables.runs).values(row).on_conflict_do_nothing())


def slot(ask: Ask) -> str:
    """What a run has for itself while it goes on: a kind of device, or the platform that it goes to. What "auto" will
    find is not known before it starts, so it counts as cpu."""
    if ask.launcher != "local":
        return ask.launcher
    return "cpu" if ask.spec.device == "auto" else ask.spec.device


def remove(connection: Connection, run_id: str) -> None:
    latest = _revision(connection)
    _forget(connection, run_id)
    connection.execute(delete(tables.runs).where(tables.runs.c.id == run_id))
    # The latest revision must not fall back: whoever has heard of it would miss what changes next.
    newest = select(func.max(tables.runs.c.id)).scalar_subquery()
    connection.execute(update(tables.runs).where(tables.runs.c.id == newest).values(revision=latest))


def set_labels(connection: Connection, run_id: str, labels: Labels) -> bool:
    """Write down what a run is called; False when that was known."""
    row = _labels(labels)
    if not _differs(connection, run_id, row):
        return False
    _change(connection, run_id, row)
    _stir_queue(connection)
    return True


def set_status(
    connection: Connection, run_id: str, status: Status, turn: str, bundles: list[str], alerts: list[dict[str, str]]
) -> bool:
    """Write down where a run stands, and waits; False when that was known."""
    row = {
        "state": status.state,
        "reason": status.reason.replace("\0", "�"),
        "started_at": status.started_at or None,
        "ended_at": status.ended_at or None,
        "turn": turn,
        "bundles": bundles,
        "alerts": alerts,
    }
    if not _differs(connection, run_id, row):
        return False
    _change(connection, run_id, row)
    _stir_queue(connection)
    return True


def take(connection: Connection, run_id: str, piece: Piece) -> None:
    """Turn a piece of a run's log into rows. A piece that does not begin where the index ends changes nothing."""
    known = connection.execute(_RUN, {"of": run_id}).mappings().one_or_none()
    if known is None or known["offset"] != piece.start:
        return
    if piece.replaced:
        _forget(connection, run_id)
        _change(connection, run_id, {**UNREAD, "generation": known["generation"] + 1})
        return
    block = _Block(run_id, dict(known), connection)
    block.read(piece.lines, piece.start)
    block.row["invalid_lines"] += piece.passed_over
    block.write()
    _change(connection, run_id, {**block.row, "offset": piece.place.offset, "mark": piece.place.mark})


def _forget(connection: Connection, run_id: str) -> None:
    connection.execute(delete(tables.events).where(tables.events.c.run == run_id))
    chunks.remove(connection, run_id)


def is_kept(step: int, steps: int) -> bool:
    """Whether the loss of ``step`` is one of the at most 39 that show a run of ``steps`` at a glance."""
    return (step - 1) % _stride(steps) == 0


def _stride(steps: int) -> int:
    return -(-steps // SPARK_POINTS)


def _labels(labels: Labels) -> dict[str, Any]:
    return {
        "name": labels.name,
        "notes": labels.notes,
        "tags": list(labels.tags),
        "archived": labels.archived,
    }


def _differs(connection: Connection, run_id: str, row: dict[str, Any]) -> bool:
    """Whether the run is there and its row is another one."""
    columns = (tables.runs.c[name] for name in row)
    known = connection.execute(select(*columns).where(tables.runs.c.id == run_id)).one_or_none()
    return known is not None and known._asdict() != row


def _change(connection: Connection, run_id: str, row: dict[str, Any]) -> None:
    connection.execute(_UPDATE, {**row, "revision": _revision(connection), "of": run_id})


def _stir_queue(connection: Connection) -> None:
    """Those that wait may now do so at another place, or for another reason."""
    waiting = update(tables.runs).where(tables.runs.c.state == "queued")
    connection.execute(waiting.values(revision=_revision(connection)))


def _revision(connection: Connection) -> int:
    return (connection.execute(LATEST).scalar() or 0) + 1


def _latest(values: dict[str, float | None]) -> dict[str, Any]:
    """What the list of runs shows of a row. A number that is none is left out there: the run's reason tells of it."""
    shown = {name: rows.finite(values.get(name)) for name in ("loss", "learning_rate", "tokens_per_second")}
    return {**shown, "tokens": int(values.get("tokens") or 0)}


@dataclass
class _Block:
    """Rows made of lines, and the run's row brought up to them."""

    run: str
    row: dict[str, Any]
    connection: Connection
    steps: rows.Table = field(default_factory=rows.Table)
    newest: rows.Values = ()

    def __post_init__(self) -> None:
        self.stride = _stride(self.row["steps"])

    others: list[dict[str, Any]] = field(default_factory=list)

    def read(self, lines: list[bytes], offset: int) -> None:
        """``lines`` that begin at byte ``offset``."""
        for like_rows, group in groupby(lines, rows.like_a_row):
            found = list(group)
            if like_rows and len(found) >= TOGETHER and (table := rows.recognized_together(found, offset)):
                self._steps(table)
                offset = table.offsets[-1]
                continue
            for line in found:
                offset += len(line) + 1
                self._read(line, offset)

    def _read(self, line: bytes, offset: int) -> None:
        if found := rows.recognized(line):
            self._step(offset, *found)
            return
        try:
            event = events.decode(line)
        except events.EventError:
            self.row["invalid_lines"] += 1
            return
        if isinstance(event, events.Step):
            self._step(offset, *rows.of_event(event))
        else:
            document = canonical.decode(line)
            self.others.append({"run": self.run, "offset": offset, "kind": event.kind, "document": document})
            self._other(event)

    def write(self) -> None:
        if self.newest:
            self.row.update(_latest(dict(zip(STEP_COLUMNS, map(rows.told, self.newest), strict=True))))
        chunks.append(self.connection, self.run, self.steps)
        self.steps = rows.Table()
        if self.others:
            self.connection.execute(insert(self.connection, tables.events).on_conflict_do_nothing(), self.others)
            self.others = []

    def _steps(self, table: rows.Table) -> None:
        self.steps.extend(table)
        for place in zip(table.steps, table.values[SECONDS], table.values[LOSS], strict=True):
            self._pass(*place)
        self.newest = tuple(column[-1] for column in table.values)

    def _step(self, offset: int, step: int, values: rows.Values) -> None:
        self.steps.append(offset, step, values)
        self._pass(step, values[SECONDS], values[LOSS])
        self.newest = values

    def _pass(self, number: int, seconds: float, loss: float) -> None:
        row = self.row
        row["step"] = number
        if number > 1:  # the first step may wait for the compiler
            before = row["pace_seconds"]
            row["pace_seconds"] = seconds if before is None else before + PACE_WEIGHT * (seconds - before)
        if not (number - 1) % self.stride and math.isfinite(loss):
            row["spark"] = [*row["spark"], loss][:SPARK_POINTS]

    def _other(self, event: events.Event) -> None:
        if isinstance(event, events.Phase):
            self.row["phase"] = event.name
        elif isinstance(event, events.Resumed):
            self._take_back(event.step)
        elif isinstance(event, events.Devices):
            self.row["hardware"] = f"{event.devices_used} × {event.device_kind}"
        elif isinstance(event, events.Model):
            self.row["parameters"] = event.parameters
        elif isinstance(event, events.Evaluation):
            self.row["exact_match"] = event.exact_match

    def _take_back(self, step: int) -> None:
        """The run stands at ``step`` again: rows of later steps go."""
        self.write()
        row = chunks.take_back(self.connection, self.run, step)
        known = chunks.unpacked(row) if row else {}
        self.newest = ()
        self.row.update(_latest(known), step=step, spark=self.row["spark"][: -(-step // self.stride)])
