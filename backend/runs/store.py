"""What the index knows, read. Writing is ingest's."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, func, or_, select

from backend.database import Database
from backend.errors import on_field
from backend.runs import chunks, ingest, rows, view
from backend.runs.answers import STEP_COLUMNS, RunSummary
from backend.runs.view import Curves
from backend.tables import events, runs
from evidence import attempts, canonical
from evidence.events import Resumed, decode
from evidence.status import LIVE, WAITS

MOST_TEXTS, TEXTS_AT_ONCE = 20_000, 200
"""Summaries that are kept as JSON: some twenty megabytes, once somebody has asked for so many."""

BUSY = ("starting", "running", "stopping")
# Built once: a stream asks these for every row that comes.
_CHANGED = select(runs).where(runs.c.revision > bindparam("after")).order_by(runs.c.revision)
_CHANGED_OF = _CHANGED.where(runs.c.id.in_(bindparam("these", expanding=True)))
_HEADS = select(runs.c.id, runs.c.generation, runs.c.offset).where(runs.c.id.in_(bindparam("these", expanding=True)))
_EVENTS_AFTER = (
    select(events.c.offset, events.c.document)
    .where(events.c.run == bindparam("of"), events.c.offset > bindparam("after"))
    .order_by(events.c.offset)
    .limit(bindparam("most"))
)
SORTS = {"created": runs.c.id, "name": runs.c.name, "loss": runs.c.loss}


@dataclass(frozen=True)
class Standing:
    """What the queue and the follower need of a run."""

    id: str
    slot: str
    state: str
    turn: str
    offset: int
    mark: str


class Store:
    def __init__(self, database: Database) -> None:
        self.database = database
        self._texts: dict[str, tuple[int, str]] = {}
        self.departed: list[str] = []
        """Runs that were taken out of the index since the server started, in order; some came back since."""

    def has(self, run_id: str) -> bool:
        with self.database.read() as connection:
            return connection.execute(select(runs.c.id).where(runs.c.id == run_id)).first() is not None

    def gone(self, run_ids: Sequence[str]) -> list[str]:
        """Those of ``run_ids`` that are not in the index."""
        query = select(runs.c.id).where(runs.c.id.in_(run_ids))
        with self.database.read() as connection:
            there = set(connection.execute(query).scalars())
        return [run_id for run_id in run_ids if run_id not in there]

    def standings(self) -> list[Standing]:
        """Every run, oldest first."""
        with self.database.read() as connection:
            query = select(runs.c.id, runs.c.slot, runs.c.state, runs.c.turn, runs.c.offset, runs.c.mark)
            return [Standing(*row) for row in connection.execute(query.order_by(runs.c.id))]

    def counts(self) -> tuple[int, int]:
        """Runs that run, and runs that wait."""
        with self.database.read() as connection:
            rows = connection.execute(select(runs.c.state, func.count()).group_by(runs.c.state))
            by_state: dict[str, int] = {state: number for state, number in rows}  # noqa: C416 - a Row is no pair to mypy
        return sum(by_state.get(state, 0) for state in BUSY), by_state.get("queued", 0)

    def summary(self, run_id: str) -> RunSummary:
        """Raises KeyError."""
        with self.database.read() as connection:
            row = connection.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
            if row is None:
                raise KeyError(run_id)
            return _summary(row, _line(connection))

    def changed(self, after: int, only: Sequence[str] | None, newest: int = 200) -> tuple[list[RunSummary], int]:
        """Summaries changed since revision ``after`` (of the runs ``only``, or all), and the latest revision.

        From the beginning (0), of all runs: the newest ones and those that live.
        """
        query, these = _CHANGED, cast(dict[str, Any], {"after": after})
        if only is not None:
            query, these = _CHANGED_OF, {**these, "these": only}
        elif not after:
            recent = select(runs.c.id).order_by(runs.c.id.desc()).limit(newest).scalar_subquery()
            query = query.where(or_(runs.c.state.in_(LIVE), runs.c.id.in_(recent)))
        with self.database.read() as connection:
            rows = connection.execute(query, these).all()
            latest = connection.execute(ingest.LATEST).scalar() or 0
            line = _line(connection) if any(row.state == "queued" for row in rows) else NOBODY
        return [_summary(row, line) for row in rows], latest

    def heads(self, run_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """How far each run's events are in the index: the generation of its log, and the byte."""
        with self.database.read() as connection:
            rows = connection.execute(_HEADS, {"these": run_ids})
            return {row.id: (row.generation, row.offset) for row in rows}

    def page(
        self, *, q: str, state: str | None, tag: str, archived: bool | None, sort: str, limit: int, cursor: str
    ) -> str:
        """One page of runs, as the JSON of a RunPage. Raises Invalid for a cursor that no page gave."""
        query = select(runs)
        if q:
            pattern = "%" + q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            columns = (runs.c.name, runs.c.id, runs.c.config, runs.c.notes)
            query = query.where(or_(*(column.ilike(pattern, escape="\\") for column in columns)))
        if state:
            query = query.where(runs.c.state == state)
        if archived is not None:
            query = query.where(runs.c.archived == archived)
        if tag:
            query = query.where(_tagged(tag, self.database.dialect))
        with self.database.read() as connection:
            total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
            shown = _after(query, sort, cursor).limit(limit + 1)
            named = shown.with_only_columns(runs.c.id, runs.c.revision, SORTS[sort.removeprefix("-")].label("value"))
            rows = connection.execute(named).all()
            texts = self._texts_of(connection, {row.id: row.revision for row in rows[:limit]})
        following = _cursor(rows[limit - 1], sort) if len(rows) > limit else None
        end = json.dumps({"total": total, "next_cursor": following})
        return f'{{"runs":[{",".join(texts)}],{end[1:]}'

    def warming(self) -> Iterator[int]:
        """Put the runs that are there into words, some at a time, so that whoever asks first need not wait for it."""
        with self.database.read() as connection:
            newest = select(runs.c.id, runs.c.revision).order_by(runs.c.id.desc()).limit(MOST_TEXTS // 2)
            rows = connection.execute(newest).all()
        for start in range(0, len(rows), TEXTS_AT_ONCE):
            with self.database.read() as connection:
                self._texts_of(connection, {row.id: row.revision for row in rows[start : start + TEXTS_AT_ONCE]})
            yield start

    def _texts_of(self, connection: Connection, revisions: dict[str, int]) -> list[str]:
        """The summaries of runs as JSON. One is put into words when its row has changed, not when it is asked for."""
        known = self._texts
        new = [run_id for run_id, revision in revisions.items() if known.get(run_id, (0, ""))[0] != revision]
        if len(known) > MOST_TEXTS:
            known = self._texts = {}
            new = list(revisions)
        line = _line(connection) if new else NOBODY
        for start in range(0, len(new), TEXTS_AT_ONCE):
            query = select(runs).where(runs.c.id.in_(new[start : start + TEXTS_AT_ONCE]))
            for row in connection.execute(query):
                # A place in the queue changes without its row.
                revision = row.revision if row.state != "queued" else -1
                known[row.id] = revision, json.dumps(_told(row, line), ensure_ascii=False)
        return [known[run_id][1] for run_id in revisions if run_id in known]

    def curves(self, run_id: str, names: Sequence[str], first: int, last: int, buckets: int | None = None) -> Curves:
        """Columns of the steps from ``first`` to ``last``, thinned out to ``buckets`` if there are more."""
        with self.database.read() as connection:
            if buckets and len(names) == 1:
                found = view.outline(connection, run_id, names[0], first, last, buckets)
                if found is not None:
                    return found
            whole = view.read(connection, run_id, names, first, last)
        return view.thin(whole, buckets) if buckets else whole

    def steps_after(self, run_id: str, offset: int, limit: int) -> tuple[dict[str, list[Any]], int]:
        """Up to ``limit`` steps whose lines end behind byte ``offset``, as columns, and where the last of them ends."""
        with self.database.read() as connection:
            found = chunks.rows_after(connection, run_id, offset, limit)
        if not found:
            return {}, offset
        columns = zip(STEP_COLUMNS, map(rows.plain, rows.transposed(found)), strict=True)
        return {"step": [row.step for row in found], **dict(columns)}, found[-1].offset

    def events_after(self, run_id: str, offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
        """Up to ``limit`` events (steps aside) whose lines end behind byte ``offset``, and where the last one ends."""
        with self.database.read() as connection:
            rows = connection.execute(_EVENTS_AFTER, {"of": run_id, "after": offset, "most": limit}).all()
        return [row.document for row in rows], rows[-1].offset if rows else offset

    def of_kind(self, run_id: str, kind: str) -> list[dict[str, Any]]:
        """The run's events of one kind, in order, without those that a resumed run took back."""
        kinds = (kind, Resumed.kind)
        query = select(events.c.document).where(events.c.run == run_id, events.c.kind.in_(kinds))
        with self.database.read() as connection:
            found = list(connection.execute(query.order_by(events.c.offset)).scalars())
        stands = attempts.standing((item, decode(canonical.encode(item))) for item in found)
        return [item for item, event in stands if event.kind == kind]

    def latest(self, run_id: str, kind: str) -> dict[str, Any] | None:
        query = select(events.c.document).where(events.c.run == run_id, events.c.kind == kind)
        with self.database.read() as connection:
            return connection.execute(query.order_by(events.c.offset.desc()).limit(1)).scalar()

    def invalid_lines(self, run_id: str) -> int:
        with self.database.read() as connection:
            return connection.execute(select(runs.c.invalid_lines).where(runs.c.id == run_id)).scalar() or 0


def _tagged(tag: str, dialect: str) -> ColumnElement[bool]:
    each = func.json_array_elements_text if dialect == "postgresql" else func.json_each
    tags = each(runs.c.tags).table_valued("value")
    return select(tags.c.value).where(tags.c.value == tag).exists()


@dataclass(frozen=True)
class _Line:
    """Each queued run's place among those that wait for the same, and by what that is, who has it."""

    places: dict[str, int]
    holders: dict[str, str]

    def why(self, run_id: str, slot: str) -> str:
        """What a run waits for, in a sentence; empty where it is about to start."""
        before = self.places[run_id] - 1
        ahead = [f"{holder} on it"] if (holder := self.holders.get(slot)) else []
        if before:
            ahead.append(f"{before} {'run is' if before == 1 else 'runs are'} before it")
        return f"Waits for {'Kaggle' if slot == 'kaggle' else f'the {slot}'}: {' and '.join(ahead)}." if ahead else ""


NOBODY = _Line({}, {})


def _line(connection: Connection) -> _Line:
    columns = (runs.c.id, runs.c.slot, runs.c.state, runs.c.name)
    query = select(*columns).where(runs.c.state.in_(("queued", *BUSY))).order_by(runs.c.turn, runs.c.id)
    line, waiting = _Line({}, {}), Counter[str]()
    for run_id, slot, state, name in connection.execute(query):
        if state == "queued":
            waiting[slot] += 1
            line.places[run_id] = waiting[slot]
        else:
            line.holders[slot] = f"{name} is {state}"
    return line


def _summary(row: Row[Any], line: _Line) -> RunSummary:
    return RunSummary(**_told(row, line))


def _told(row: Row[Any], line: _Line) -> dict[str, Any]:
    """The fields of a RunSummary."""
    left = row.steps - row.step
    reason, place = row.reason, line.places.get(row.id) if row.state == "queued" else None
    if place and (not reason or reason.startswith(WAITS)):
        reason = " ".join(filter(None, (reason, line.why(row.id, row.slot))))
    going = row.state in ("running", "stopping") and row.pace_seconds is not None
    return dict(  # noqa: C408 - names, as the model has them
        id=row.id,
        name=row.name,
        state=row.state,
        reason=reason,
        phase=row.phase,
        step=row.step,
        steps=row.steps,
        loss=row.loss,
        exact_match=row.exact_match,
        learning_rate=row.learning_rate,
        tokens_per_second=row.tokens_per_second,
        device=row.device,
        hardware=row.hardware,
        config=row.config,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        eta_seconds=max(0, left) * row.pace_seconds if going else None,
        queue_position=place,
        parameters=row.parameters,
        notes=row.notes,
        tags=row.tags,
        archived=row.archived,
        bundles=row.bundles,
        alerts=row.alerts,
        spark=_spark(row),
    )


def _spark(row: Row[Any]) -> list[float]:
    """The kept losses, and the latest one unless it is kept already."""
    kept = ingest.is_kept(row.step, row.steps) or not row.step
    return list(row.spark) if kept or row.loss is None else [*row.spark, row.loss]


def _after(query: Select[Any], sort: str, cursor: str) -> Select[Any]:
    """``query`` in order, from behind the row that ``cursor`` names. Unknown losses come last either way."""
    column, descending = SORTS[sort.removeprefix("-")], sort.startswith("-")
    order = column.desc() if descending else column.asc()
    query = query.order_by(order.nulls_last(), runs.c.id.desc())
    if not cursor:
        return query
    value, run_id = _parse_cursor(cursor, sort)
    if column is runs.c.id:
        return query.where(runs.c.id < run_id if descending else runs.c.id > run_id)
    if value is None:
        return query.where(column.is_(None), runs.c.id < run_id)
    beyond = column < value if descending else column > value
    return query.where(or_(beyond, and_(column == value, runs.c.id < run_id), column.is_(None)))


def _cursor(row: Any, sort: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort, row.value, row.id]).encode()).decode()


def _parse_cursor(text: str, sort: str) -> tuple[str | float | None, str]:
    try:
        order, value, run_id = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, binascii.Error):
        order = value = run_id = None
    if order != sort or not isinstance(run_id, str) or not isinstance(value, str | float | None):
        raise on_field("cursor", f"cursor must be the next_cursor of a page sorted by {sort}, got {text!r}")
    return value, run_id
