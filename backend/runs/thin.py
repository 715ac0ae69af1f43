"""Fewer points that draw the same picture: no spike is lost and no point is invented."""

from __future__ import annotations

from backend.runs.answers import Columns


def thin(columns: Columns, buckets: int) -> Columns:
    """At most ``buckets`` equal stretches of rows; of each, its last row and the rows of every column's extremes."""
    count = len(columns.step)
    if count <= buckets:
        return columns
    kept = {0}
    for bucket in range(buckets):
        start, end = bucket * count // buckets, (bucket + 1) * count // buckets
        kept.add(end - 1)
        for values in columns.columns.values():
            known = [(value, row) for row, value in enumerate(values[start:end], start) if value is not None]
            if known:
                kept |= {min(known)[1], max(known)[1]}
    rows = sorted(kept)
    return Columns(
        step=[columns.step[row] for row in rows],
        columns={name: [values[row] for row in rows] for name, values in columns.columns.items()},
    )
