"""A run's curves for a chart: whole, or as few rows as draw the same picture. No spike is lost, no point invented."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from backend.runs import rows as packed
from backend.runs.answers import STEP_COLUMNS
from backend.runs.chunks import CHUNK_ROWS, STEP, tail
from backend.tables import chunks

if TYPE_CHECKING:  # it takes longer to import than an idle server should take to start
    import numpy as np
    from numpy.typing import NDArray

    Steps = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """``columns[name][i]`` belongs to ``steps[i]``; steps ascend."""

    steps: Steps
    columns: dict[str, Floats]

    def json(self) -> bytes:
        values = {name: packed.plain(column) for name, column in self.columns.items()}
        return json.dumps({"step": self.steps.tolist(), "columns": values}, separators=(",", ":")).encode()

    def binary(self, cursor: str) -> bytes:
        """A line that names the columns and the stream's cursor, padded to a multiple of eight bytes, and the columns
        as float64."""
        head = json.dumps({"rows": len(self.steps), "columns": [STEP, *self.columns], "cursor": cursor}).encode()
        head += b" " * (-(len(head) + 1) % 8) + b"\n"
        return b"".join([head, self.steps.astype("<f8").tobytes(), *(item.tobytes() for item in self.columns.values())])


def read(connection: Connection, run: str, names: Sequence[str], first: int, last: int) -> Curves:
    """The rows of steps ``first`` to ``last``. Of a step that stands there twice, the later row."""
    import numpy as np

    query = (
        select(chunks.c.series, chunks.c.first, chunks.c.first_step, chunks.c.last_step, chunks.c.count, chunks.c.data)
        .where(chunks.c.run == run, chunks.c.series.in_([STEP, *names]))
        .where(chunks.c.last_step >= first, chunks.c.first_step <= last)
        .order_by(chunks.c.series, chunks.c.first)
    )
    found: dict[str, dict[int, Any]] = {name: {} for name in (STEP, *names)}
    for part in connection.execute(query):
        found[part.series][part.first] = part
    newest = tail(connection, run)
    steps = [_steps(part) for part in found[STEP].values()]
    steps.append(np.array([row.step for row in newest], np.int64))
    of_tail = np.frombuffer(b"".join(row.values for row in newest), "<f8").reshape(-1, len(STEP_COLUMNS))
    columns = {}
    for name in names:
        parts = [_values(found[name].get(place), part.count) for place, part in found[STEP].items()]
        columns[name] = np.concatenate([*parts, of_tail[:, STEP_COLUMNS.index(name)]])
    return _cut(Curves(np.concatenate(steps), columns), first, last)


def thin(curves: Curves, buckets: int) -> Curves:
    """At most ``buckets`` equal stretches of rows. Of each: its last row, and of every column the rows of its least and
    its greatest value and of the first that is not finite."""
    import numpy as np

    count = len(curves.steps)
    if count <= buckets:
        return curves
    size = -(-count // buckets)
    starts = np.arange(0, count, size)
    kept = [np.zeros(1, np.int64), np.minimum(starts + size, count) - 1]
    for values in curves.columns.values():
        found = _extremes(values, size)
        if not np.isfinite(values[found]).all():  # a NaN is less and greater than anything
            finite = np.isfinite(values)
            odd = np.flatnonzero(~finite & ~_missing(values))
            kept.append(odd[np.unique(odd // size, return_index=True)[1]])
            lowest = _extremes(np.where(finite, values, np.inf), size)[: len(starts)]
            highest = _extremes(np.where(finite, values, -np.inf), size)[len(starts) :]
            found = np.concatenate([lowest, highest])
        kept.append(found)
    rows = np.unique(np.concatenate(kept))
    return Curves(curves.steps[rows], {name: values[rows] for name, values in curves.columns.items()})


def _extremes(values: Floats, size: int) -> Any:
    """The row of the least value of each stretch of ``size`` rows, then those of the greatest ones."""
    import numpy as np

    whole = len(values) // size * size
    body, rest = values[:whole].reshape(-1, size), values[whole:]
    found = []
    for choose in (np.argmin, np.argmax):
        found.append(choose(body, axis=1) + np.arange(0, whole, size))
        if len(rest):
            found.append(np.array([whole + choose(rest)]))
    return np.concatenate(found)


def outline(connection: Connection, run: str, name: str, first: int, last: int, buckets: int) -> Curves | None:
    """``thin`` of one column that is far too long to be read for it, from what its chunks say of themselves.

    None where it is not: where a bucket would not hold two whole chunks, or a chunk has gaps or steps that jump.
    """
    import numpy as np

    mine = (chunks.c.run == run, chunks.c.last_step >= first, chunks.c.first_step <= last)
    query = select(
        chunks.c.first_step, chunks.c.last_step, chunks.c.count, chunks.c.low, chunks.c.low_row, chunks.c.high,
        chunks.c.high_row, chunks.c.gaps,
    ).where(*mine, chunks.c.series == name).order_by(chunks.c.first)  # fmt: skip
    parts = connection.execute(query).all()
    if len(parts) < 2 * buckets:
        return None
    begin, end, rows, low, low_row, high, high_row, gaps = (np.array(item) for item in zip(*parts, strict=True))
    plain = (end - begin + 1 == rows).all() and (begin[1:] == end[:-1] + 1).all() and not gaps.any()
    if not plain or begin[0] < first or end[-1] > last:
        return None
    size = -(-len(parts) // buckets)
    newest = read(connection, run, [name], int(end[-1]) + 1, last)
    kept = []
    for start in range(0, len(parts), size):
        lowest = start + int(low[start : start + size].argmin())
        highest = start + int(high[start : start + size].argmax())
        kept += [
            (int(begin[lowest] + low_row[lowest]), low[lowest]),
            (int(begin[highest] + high_row[highest]), high[highest]),
        ]
    both = sorted(set(kept))
    steps = np.array([step for step, _ in both], np.int64)
    values = np.array([value for _, value in both], np.float64)
    return Curves(np.concatenate([steps, newest.steps]), {name: np.concatenate([values, newest.columns[name]])})


def _steps(part: Any) -> Steps:
    import numpy as np

    return np.frombuffer(part.data, "<i8") if part.data else np.arange(part.first_step, part.last_step + 1)


def _values(part: Any, count: int) -> Floats:
    import numpy as np

    return np.frombuffer(packed.MISSING_BYTES * count if part is None else part.data, "<f8")


def _missing(values: Floats) -> Any:
    import numpy as np

    (bits,) = np.frombuffer(packed.MISSING_BYTES, "<i8")
    return values.view("<i8") == bits


def _cut(curves: Curves, first: int, last: int) -> Curves:
    import numpy as np

    steps = curves.steps
    if len(steps) > 1 and (steps[1:] <= steps[:-1]).any():
        order = np.argsort(steps, kind="stable")
        ends = np.append(steps[order][1:] != steps[order][:-1], True)
        chosen = order[ends]
        curves = Curves(steps[chosen], {name: values[chosen] for name, values in curves.columns.items()})
        steps = curves.steps
    start, end = np.searchsorted(steps, [first, last + 1])
    if start == 0 and end == len(steps):
        return curves
    return Curves(steps[start:end], {name: values[start:end] for name, values in curves.columns.items()})


__all__ = ["CHUNK_ROWS", "Curves", "outline", "read", "thin"]
