"""Events into rows. The byte offset moves in the transaction that writes the rows, so a crash loses nothing.

Nor does it double anything: rows are keyed by their place, so reading lines again changes nothing. Of a step that was
done twice, because the run was resumed, the later row stands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from backend import tables
from evidence import canonical, events, rundir
from evidence.rundir import Ask, Labels
from evidence.status import Status

BLOCK_BYTES = 1 << 20
PACE_WEIGHT = 0.05
"""Share of the newest step in the moving average from which the time left is told."""
SPARK_POINTS = 39
"""Kept losses of a run; its latest one makes them 40."""


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
        "offset": 0,
        "invalid_lines": 0,
        "step": 0,
        "tokens": 0,
        "spark": [],
        "revision": _revision(connection),
    }
    connection.execute(insert(tables.runs).values(row).on_conflict_do_nothing())


def remove(connection: Connection, run_id: str) -> None:
    for table in (tables.steps, tables.events):
        connection.execute(delete(table).where(table.c.run == run_id))
    connection.execute(delete(tables.runs).where(tables.runs.c.id == run_id))


def set_labels(connection: Connection, run_id: str, labels: Labels) -> bool:
    """Write down what a run is called; False when that was known."""
    row = _labels(labels)
    if not _differs(connection, run_id, row):
        return False
    _change(connection, run_id, row)
    return True


def set_status(
    connection: Connection, run_id: str, status: Status, bundles: list[str], alerts: list[dict[str, str]]
) -> bool:
    """Write down where a run stands; False when that was known."""
    row = {
        "state": status.state,
        "reason": status.reason,
        "started_at": status.started_at or None,
        "ended_at": status.ended_at or None,
        "bundles": bundles,
        "alerts": alerts,
    }
    if not _differs(connection, run_id, row):
        return False
    _change(connection, run_id, row)
    # Others may have moved up behind it.
    connection.execute(
        update(tables.runs).where(tables.runs.c.state == "queued").values(revision=_revision(connection))
    )
    return True


def read_on(connection: Connection, run: Path) -> int:
    """Read the next whole lines of a run's events into rows; returns how many bytes that were."""
    known = connection.execute(select(tables.runs).where(tables.runs.c.id == run.name)).one_or_none()
    if known is None:
        return 0
    lines, end = rundir.whole_lines(run / rundir.EVENTS, known.offset, BLOCK_BYTES)
    if end == known.offset:
        return 0
    block = _Block(run.name, known.offset, dict(known._mapping), connection)
    for line in lines:
        block.read(line)
    if block.steps:
        statement = insert(tables.steps)
        keys = ("run", "step")
        changed = {name: statement.excluded[name] for name in tables.steps.c.keys() if name not in keys}  # noqa: SIM118
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), block.steps)
    if block.others:
        connection.execute(insert(tables.events).on_conflict_do_nothing(), block.others)
    _change(connection, run.name, {**block.row, "offset": end})
    return end - int(known.offset)


def tokens_per_second(row: events.Step) -> float | None:
    """The row's own word, or for a row that has none its share of the tokens over its time."""
    if row.tokens_per_second or row.step_seconds <= 0:
        return row.tokens_per_second or None
    return row.tokens / row.step / row.step_seconds


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
    statement = update(tables.runs).where(tables.runs.c.id == run_id)
    connection.execute(statement.values({**row, "revision": _revision(connection)}))


def _revision(connection: Connection) -> int:
    return (connection.execute(select(func.max(tables.runs.c.revision))).scalar() or 0) + 1


@dataclass
class _Block:
    """Rows made of the lines from ``offset`` on, and the run's row brought up to them."""

    run: str
    offset: int
    row: dict[str, Any]
    connection: Connection
    steps: list[dict[str, Any]] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)

    def read(self, line: bytes) -> None:
        self.offset += len(line) + 1
        try:
            event = events.decode(line)
        except events.EventError:
            self.row["invalid_lines"] += 1
            return
        if isinstance(event, events.Step):
            self._step(event)
        else:
            document = canonical.decode(line)
            self.others.append({"run": self.run, "offset": self.offset, "kind": event.kind, "document": document})
            self._other(event)

    def _step(self, event: events.Step) -> None:
        row = self.row
        pace = tokens_per_second(event)
        self.steps.append(
            {
                "run": self.run,
                "step": event.step,
                "offset": self.offset,
                "loss": event.loss,
                "grad_norm": event.grad_norm,
                "param_norm": event.param_norm,
                "learning_rate": event.learning_rate,
                "tokens": event.tokens,
                "step_seconds": event.step_seconds,
                "tokens_per_second": pace,
                "epoch": event.epoch,
                "model_flops_utilization": event.model_flops_utilization or None,
                "device_memory_bytes": event.device_memory_bytes or None,
                "device_memory_peak_bytes": event.device_memory_peak_bytes or None,
            }
        )
        if event.step > 1:  # the first step may wait for the compiler
            before = row["pace_seconds"]
            row["pace_seconds"] = (
                event.step_seconds if before is None else (before + PACE_WEIGHT * (event.step_seconds - before))
            )
        if is_kept(event.step, row["steps"]):
            row["spark"] = [*row["spark"], event.loss][:SPARK_POINTS]
        row.update(
            step=event.step,
            loss=event.loss,
            learning_rate=event.learning_rate,
            tokens=event.tokens,
            tokens_per_second=pace,
        )

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
        """The run stands at ``step`` again: rows of later steps go, here and in the index."""
        steps, run = tables.steps, self.run
        self.connection.execute(delete(steps).where(steps.c.run == run, steps.c.step > step))
        self.steps = [row for row in self.steps if row["step"] <= step]
        query = select(steps).where(steps.c.run == run, steps.c.step == step)
        known = self.connection.execute(query).mappings().one_or_none()
        row = next((dict(row) for row in reversed(self.steps) if row["step"] == step), dict(known or {}))
        stride = _stride(self.row["steps"])
        self.row.update(
            step=step,
            tokens=row.get("tokens", 0),
            **{name: row.get(name) for name in ("loss", "learning_rate", "tokens_per_second")},
            spark=self.row["spark"][: -(-step // stride)],
        )
