"""A step row as eleven numbers, and a column of them as bytes.

What a row does not say is ``MISSING``, a NaN of its own bits, so that a loss that *became* NaN stays one: SQLite would
make NULL of both.
"""

from __future__ import annotations

import math
import re
import struct
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import methodcaller
from typing import Any, NamedTuple, TypeAlias

from pydantic_core import from_json

from backend.runs.answers import STEP_COLUMNS, Value
from evidence import events

MISSING_BYTES = struct.pack("<Q", 0x7FF0_0000_0000_07A2 | 1 << 51)
(MISSING,) = struct.unpack("<d", MISSING_BYTES)
PACKED = struct.Struct(f"<{len(STEP_COLUMNS)}d")
LARGEST = 2**53 - 1


Values: TypeAlias = tuple[float, ...]
"""What one row says, in the order of STEP_COLUMNS."""


class Row(NamedTuple):
    """``offset``: behind its line in events.jsonl. ``values``: STEP_COLUMNS, packed."""

    offset: int
    step: int
    values: bytes


@dataclass
class Table:
    """Rows as columns: ``values`` in the order of STEP_COLUMNS."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    steps: array[int] = field(default_factory=lambda: array("q"))
    values: list[array[float]] = field(default_factory=lambda: [array("d") for _ in STEP_COLUMNS])

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Table:
        offsets, steps = array("q", [row.offset for row in rows]), array("q", [row.step for row in rows])
        return cls(offsets, steps, transposed(rows))

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, part: slice) -> Table:
        return Table(self.offsets[part], self.steps[part], [column[part] for column in self.values])

    def append(self, offset: int, step: int, values: Values) -> None:
        self.offsets.append(offset)
        self.steps.append(step)
        for column, value in zip(self.values, values, strict=True):
            column.append(value)

    def extend(self, other: Table) -> None:
        self.offsets.extend(other.offsets)
        self.steps.extend(other.steps)
        for column, more in zip(self.values, other.values, strict=True):
            column.extend(more)

    def rows(self) -> Iterable[Row]:
        packed = (PACKED.pack(*values) for values in zip(*self.values, strict=True))
        return map(Row, self.offsets, self.steps, packed)


_INTEGER = rb"(?:0|[1-9][0-9]{0,14}+|[1-8][0-9]{15})"
_FLOAT = rb"(-?+(?:0|[1-9][0-9]{0,14}+)(?:\.[0-9]{1,30}+)?+(?:e[+-]?+[0-9]{1,3}+)?+)"
_SHA = rb'"[0-9a-f]{64}+"'
_CANONICAL = (
    rb'\{"batch_sha256":' + _SHA
    + rb'(?:,"device_memory_bytes":(' + _INTEGER + rb'))?+(?:,"device_memory_peak_bytes":(' + _INTEGER + rb'))?+'
    + rb',"epoch":' + _FLOAT + rb',"examples":' + _INTEGER + rb',"grad_norm":' + _FLOAT + rb',"hash":' + _SHA
    + rb',"kind":"step","learning_rate":' + _FLOAT + rb',"loss":' + _FLOAT
    + rb'(?:,"model_flops_utilization":' + _FLOAT + rb')?+,"monotonic_ns":' + _INTEGER + rb',"param_norm":' + _FLOAT
    + rb',"prev":' + _SHA + rb',"step":(' + _INTEGER + rb'),"step_seconds":' + _FLOAT
    + rb',"supervised_tokens":' + _INTEGER + rb',"time":"[0-9TZ:.-]{1,40}+","tokens":(' + _INTEGER + rb')'
    + rb'(?:,"tokens_per_second":' + _FLOAT + rb')?\}'
)  # fmt: skip
"""A row as a trainer writes it. Every such line is one that ``events.decode`` reads alike (a test holds them to one
another); it is some ten times quicker. Anything else goes the strict way. Its numbers are JSON's."""

_one = re.compile(_CANONICAL).fullmatch
_many = re.compile(_CANONICAL + rb"\n").findall
SAID = 12
"""Numbers that are taken from a line."""

like_a_row = methodcaller("startswith", b'{"batch_sha256":')
"""Whether a line begins as rows do."""


def recognized(line: bytes) -> tuple[int, Values] | None:
    """The step in ``line`` and its values, if it is written as trainers write it."""
    found = _one(line)
    if found is None:
        return None
    said = [*map(float, found.groups(b"0"))]
    if not math.isfinite(sum(said)):
        return None  # 1e999 is not JSON that every parser reads alike
    memory, peak, epoch, grad, rate, loss, share, norm, step, seconds, tokens, speed = said
    if not speed:
        speed = _speed(tokens, step, seconds)
    values = (
        loss, grad, norm, rate, tokens, seconds, speed, epoch, share or MISSING, memory or MISSING, peak or MISSING,
    )  # fmt: skip
    return int(step), values


def recognized_together(lines: Sequence[bytes], start: int) -> Table | None:
    """The rows in ``lines``, the first of which begins at byte ``start``, if all are written as trainers write them.

    What ``recognized`` finds in each, at half the price: the numbers of all lines are one document to be parsed.
    """
    found = _many(b"\n".join([*lines, b""]))
    if len(found) != len(lines):
        return None
    numbers = b",%b," % b",".join([b",".join(said) for said in found])
    numbers = numbers.replace(b",,", b",0,").replace(b",,", b",0,")
    said = array("d", from_json(b"[%b]" % numbers[1:-1]))
    if not math.isfinite(sum(said)):
        return None
    memory, peak, epoch, grad, rate, loss, share, norm, step, seconds, tokens, speed = (
        said[number::SAID] for number in range(SAID)
    )
    if 0.0 in speed:
        speed = array("d", [own or _speed(*rest) for own, *rest in zip(speed, tokens, step, seconds, strict=True)])
    values = [loss, grad, norm, rate, tokens, seconds, speed, epoch, *map(_unless_zero, (share, memory, peak))]
    offsets = array("q", accumulate((len(line) + 1 for line in lines), initial=start))
    return Table(offsets[1:], array("q", map(int, step)), values)


def _unless_zero(column: array[float]) -> array[float]:
    """``column``, in which 0 stands for what was not said."""
    if not any(column):
        return array("d", MISSING_BYTES * len(column))
    return array("d", [value or MISSING for value in column]) if 0.0 in column else column


def of_event(event: events.Step) -> tuple[int, Values]:
    values = (
        event.loss, event.grad_norm, event.param_norm, event.learning_rate, float(event.tokens), event.step_seconds,
        event.tokens_per_second or _speed(event.tokens, event.step, event.step_seconds), event.epoch,
        event.model_flops_utilization or MISSING, float(event.device_memory_bytes) or MISSING,
        float(event.device_memory_peak_bytes) or MISSING,
    )  # fmt: skip
    return event.step, values


def _speed(tokens: float, step: float, seconds: float) -> float:
    """Of a row that does not say it: its share of the tokens over its time."""
    return tokens / step / seconds if seconds > 0 and step > 0 else MISSING


def told(value: float) -> float | None:
    """``value``, or None where it is missing. A NaN that is none of ours came from the trainer."""
    return None if value != value and struct.pack("<d", value) == MISSING_BYTES else value


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def transposed(rows: Sequence[Row]) -> list[array[float]]:
    """The columns of ``rows``, in the order of STEP_COLUMNS."""
    whole = array("d")
    whole.frombytes(b"".join(row.values for row in rows))
    return [whole[number :: len(STEP_COLUMNS)] for number in range(len(STEP_COLUMNS))]


def plain(column: Any) -> list[Value]:
    """A column as JSON carries it: null where a row said nothing, a word where it said what is no number."""
    values: list[Any] = column.tolist()
    if math.isfinite(sum(values)):
        return values
    return [value if math.isfinite(value) else _word(value) for value in values]


def _word(value: float) -> Value:
    if value == value:
        return "Infinity" if value > 0 else "-Infinity"
    return None if told(value) is None else "NaN"
