"""Where step rows lie in the index: the newest ones as rows, all before them as columns, a thousand rows a chunk.

Rows stand in the order of the log. Which rows lie in a chunk depends on nothing but the rows, so an index that was read
anew equals the one before. A chunk's columns are never changed; what a resumed run takes back is cut off at the end.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select

from backend.database import insert
from backend.runs.answers import STEP_COLUMNS
from backend.runs.rows import MISSING_BYTES, PACKED, Row, Table, told
from backend.tables import chunks, rows

CHUNK_ROWS = 1024
STEP, OFFSET = "step", "offset"

# Built once: these are asked for every row that comes.
_COUNT = select(func.count()).select_from(rows).where(rows.c.run == bindparam("of"))
_TAIL = (
    select(rows.c.offset, rows.c.step, rows.c["values"])
    .where(rows.c.run == bindparam("of"), rows.c.offset > bindparam("after"))
    .order_by(rows.c.offset)
    .limit(bindparam("most"))
)
_BEHIND = (
    select(chunks.c.first)
    .where(chunks.c.run == bindparam("of"), chunks.c.series == OFFSET, chunks.c.last > bindparam("after"))
    .order_by(chunks.c.first)
    .limit(bindparam("most"))
)


def append(connection: Connection, run: str, new: Table) -> None:
    """Add rows behind those that are there."""
    if not len(new):
        return
    mine = rows.c.run == run
    known = connection.execute(_COUNT, {"of": run}).scalar_one()
    rest = new
    if known + len(new) >= CHUNK_ROWS:
        rest = Table.of(tail(connection, run))
        rest.extend(new)
        connection.execute(delete(rows).where(mine))
        whole = len(rest) // CHUNK_ROWS * CHUNK_ROWS
        made = [_chunk(run, rest[start : start + CHUNK_ROWS]) for start in range(0, whole, CHUNK_ROWS)]
        connection.execute(chunks.insert(), [part for parts in made for part in parts])
        rest = rest[whole:]
    if len(rest):
        found = [{"run": run, "offset": row.offset, "step": row.step, "values": row.values} for row in rest.rows()]
        connection.execute(insert(connection, rows).on_conflict_do_nothing(), found)


def take_back(connection: Connection, run: str, step: int) -> Row | None:
    """Cut off every row of a step after ``step``; returns the last row of ``step`` itself, if there is one."""
    mine = chunks.c.run == run
    broken = select(func.min(chunks.c.first)).where(mine, chunks.c.series == STEP, chunks.c.last_step > step)
    first = connection.execute(broken).scalar()
    left = tail(connection, run)
    if first is not None:
        left = [*_rows_from(connection, run, first), *left]
        connection.execute(delete(chunks).where(mine, chunks.c.first >= first))
    connection.execute(delete(rows).where(rows.c.run == run))
    append(connection, run, Table.of([row for row in left if row.step <= step]))
    found = [row for row in left if row.step == step] or _of_step(connection, run, step)
    return found[-1] if found else None


def remove(connection: Connection, run: str) -> None:
    for table in (rows, chunks):
        connection.execute(delete(table).where(table.c.run == run))


def tail(connection: Connection, run: str, after: int = -1, limit: int = CHUNK_ROWS) -> list[Row]:
    """The rows that are in no chunk yet, from behind byte ``after`` on."""
    return [Row(*row) for row in connection.execute(_TAIL, {"of": run, "after": after, "most": limit})]


def rows_after(connection: Connection, run: str, offset: int, limit: int) -> list[Row]:
    """Up to ``limit`` rows whose lines end behind byte ``offset``, in the order of the log."""
    behind = {"of": run, "after": offset, "most": limit // CHUNK_ROWS + 2}
    firsts = connection.execute(_BEHIND, behind).scalars().all()
    found: list[Row] = []
    if firsts:
        found = [row for row in _rows_from(connection, run, firsts[0], firsts[-1]) if row.offset > offset]
    if len(found) < limit and len(firsts) < limit // CHUNK_ROWS + 2:
        found += tail(connection, run, offset, limit - len(found))
    return found[:limit]


def _of_step(connection: Connection, run: str, step: int) -> list[Row]:
    holds = select(chunks.c.first).where(
        chunks.c.run == run, chunks.c.series == STEP, chunks.c.first_step <= step, chunks.c.last_step >= step
    )
    first = connection.execute(holds.order_by(chunks.c.first.desc()).limit(1)).scalar()
    if first is None:
        return []
    return [row for row in _rows_from(connection, run, first, first) if row.step == step]


def _rows_from(connection: Connection, run: str, first: int, to: int | None = None) -> list[Row]:
    """The rows of the chunks from ``first`` on (up to the one at ``to``), put together again."""
    query = select(chunks).where(chunks.c.run == run, chunks.c.first >= first).order_by(chunks.c.first)
    if to is not None:
        query = query.where(chunks.c.first <= to)
    by_place: dict[int, dict[str, Any]] = {}
    for part in connection.execute(query):
        by_place.setdefault(part.first, {})[part.series] = part
    found: list[Row] = []
    for parts in by_place.values():
        count = parts[STEP].count
        whole = array("d", MISSING_BYTES * (count * len(STEP_COLUMNS)))
        for number, name in enumerate(STEP_COLUMNS):
            if name in parts:
                whole[number :: len(STEP_COLUMNS)] = array("d", parts[name].data)
        data, width = whole.tobytes(), PACKED.size
        packed = (data[start : start + width] for start in range(0, len(data), width))
        found += map(Row, array("q", parts[OFFSET].data), steps_of(parts[STEP]), packed)
    return found


def steps_of(part: Any) -> Iterable[int]:
    """The steps of a chunk."""
    return array("q", part.data) if part.data else range(part.first_step, part.last_step + 1)


def _chunk(run: str, part: Table) -> list[dict[str, Any]]:
    """The rows of the table that hold ``part``: steps, offsets, and each column that any row says anything of."""
    steps, offsets = part.steps, part.offsets
    place = {
        "run": run,
        "first": offsets[0],
        "last": offsets[-1],
        "first_step": min(steps),
        "last_step": max(steps),
        "count": len(part),
        "low": None,
        "low_row": None,
        "high": None,
        "high_row": None,
        "gaps": 0,
    }
    following = steps == array("q", range(steps[0], steps[0] + len(steps)))
    found = [
        {**place, "series": STEP, "data": b"" if following else steps.tobytes()},
        {**place, "series": OFFSET, "data": offsets.tobytes()},
    ]
    for name, column in zip(STEP_COLUMNS, part.values, strict=True):
        data = column.tobytes()
        if data != MISSING_BYTES * len(part):
            found.append({**place, "series": name, **_extremes(column), "data": data})
    return found


def _extremes(column: array[float]) -> dict[str, Any]:
    gaps = not math.isfinite(sum(column))
    values = [value for value in column if math.isfinite(value)] if gaps else column
    if not values:
        return {"gaps": 1}
    low, high = min(values), max(values)
    return {"low": low, "low_row": column.index(low), "high": high, "high_row": column.index(high), "gaps": int(gaps)}


def unpacked(row: Row) -> dict[str, float | None]:
    """What a row says, by name."""
    return dict(zip(STEP_COLUMNS, map(told, PACKED.unpack(row.values)), strict=True))
