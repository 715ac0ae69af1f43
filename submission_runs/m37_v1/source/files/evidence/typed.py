"""Documents as frozen dataclasses: one strict reader, one writer, one JSON Schema, all from the same types.

A field is required unless it has a default; no type is nullable; unknown keys are refused. Unions are told apart by
their ``kind`` field. Narrow types (a digest, a UTC time) are ``Annotated[str, Rule(...)]``.
"""

from __future__ import annotations

import math
import re
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from evidence.canonical import LARGEST_INTEGER

_WORDS_FOR_NOTHING = (
    *("TODO", "TBD", "FIXME", "XXX", "PENDING", "PLACEHOLDER", "CHANGEME"),
    *("N/A", "null", "None", "undefined"),
)
_PHRASES_FOR_NOTHING = ("awaiting", "lorem ipsum")


def _in_any_case(word: str) -> str:
    """A pattern for ``word``; JSON Schema's patterns know no flag for it."""
    return "".join(f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else letter for letter in word)


_PLACEHOLDERS = "|".join(
    (
        "<[A-Za-z_ -]{3,}>",
        rf"\b(?:{'|'.join(map(_in_any_case, _WORDS_FOR_NOTHING))})\b",
        *map(_in_any_case, _PHRASES_FOR_NOTHING),
    )
)
PLACEHOLDER = re.compile(_PLACEHOLDERS)
"""Words that stand where a value should be."""


@dataclass(frozen=True)
class Wrong:
    """One value that is not what its type says."""

    where: str
    expected: str
    found: str


class WrongDocument(ValueError):
    def __init__(self, problems: list[Wrong]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{item.where}: expected {item.expected}, found {item.found}" for item in problems))


@dataclass(frozen=True)
class Rule:
    """What a narrow type allows. ``pattern`` must match whole; bounds are for numbers."""

    expected: str
    pattern: str = ""
    minimum: float | None = None
    above: float | None = None
    below: float | None = None
    prose: bool = False
    quoted: bool = False
    """Somebody else's words: a placeholder may stand in them, but they may not be one."""
    beyond: bool = False
    """Words may stand for what JSON has no number for: ``NOT_FINITE``."""

    def allows(self, value: Any) -> bool:
        if isinstance(value, str):
            if self.pattern and not re.fullmatch(self.pattern, value):
                return False
            trimmed = value.strip() == value and bool(value)
            if self.quoted:
                return trimmed and not PLACEHOLDER.fullmatch(value)
            return not self.prose or (trimmed and not PLACEHOLDER.search(value))
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


Text = Annotated[str, Rule("text, trimmed and no placeholder", prose=True)]
Quote = Annotated[str, Rule("words, trimmed, that are no placeholder", quoted=True)]
Sha256 = Annotated[str, Rule("64 hex digits of SHA-256", pattern=r"(?!(.)\1{63})[0-9a-f]{64}")]
GitId = Annotated[str, Rule("40 hex digits of a git object", pattern=r"(?!(.)\1{39})[0-9a-f]{40}")]
Utc = Annotated[
    str, Rule("a UTC time like 2026-01-31T12:00:00.000000Z", pattern=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
]
InnerPath = Annotated[
    str,
    Rule("a relative path without dot segments", pattern=r"(?!/)(?!.*(^|/)\.{0,2}(/|$))[^\\\x00-\x1f<>]+", prose=True),
]
Count = Annotated[int, Rule("a whole number of at least 1", minimum=1)]
Natural = Annotated[int, Rule("a whole number of at least 0", minimum=0)]
Positive = Annotated[float, Rule("a number greater than 0", above=0)]
NotNegative = Annotated[float, Rule("a number of at least 0", minimum=0)]
Share = Annotated[float, Rule("a number from 0 to 1", minimum=0, below=1.0000000001)]

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
Number = Annotated[float, Rule('a number, or one of "NaN", "Infinity", "-Infinity"', beyond=True)]

_WORDS = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}
_SCHEMA_WORDS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def read(cls: type, document: Any, where: str = "$") -> Any:
    """``document`` as a ``cls``. Raises WrongDocument naming everything that is wrong."""
    problems: list[Wrong] = []
    value = _read(cls, document, where, problems)
    if problems:
        raise WrongDocument(problems)
    return value


def write(value: Any) -> Any:
    """The JSON document of a dataclass; ``read(cls, write(v)) == v``. A field equal to its default "" or 0 is left out:
    absent means that there is nothing to say."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: write(getattr(value, item.name))
            for item in fields(value)
            if not (item.default in ("", 0) and getattr(value, item.name) == item.default)
        }
    if isinstance(value, list | tuple):
        return [write(item) for item in value]
    if isinstance(value, dict):
        return {key: write(item) for key, item in value.items()}
    return value


def json_schema(cls: type) -> dict[str, Any]:
    """JSON Schema (2020-12) of ``cls``."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_schema(cls)}


@cache
def hints(cls: type) -> dict[str, Any]:
    return {item.name: get_type_hints(cls, include_extras=True)[item.name] for item in fields(cls)}


@cache
def required(cls: type) -> frozenset[str]:
    return frozenset(item.name for item in fields(cls) if item.default is MISSING and item.default_factory is MISSING)


def show(value: Any) -> str:
    """A value in a finding: short, quoted where it is text."""
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _read(kind: Any, value: Any, where: str, problems: list[Wrong]) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin is Annotated:
        base, rule = get_args(kind)[:2]
        if rule.beyond and isinstance(value, str) and value in NOT_FINITE:
            return NOT_FINITE[value]
        before = len(problems)
        plain = _read(base, value, where, problems)
        if len(problems) == before and not rule.allows(plain):
            problems.append(Wrong(where, rule.expected, show(value)))
        return plain
    if origin is Literal:
        if value not in get_args(kind) or isinstance(value, bool) != isinstance(get_args(kind)[0], bool):
            problems.append(Wrong(where, " or ".join(map(str, get_args(kind))), show(value)))
        return value
    if origin in (Union, types.UnionType):
        return _read_union(get_args(kind), value, where, problems)
    if origin in (list, tuple):
        if not isinstance(value, list):
            problems.append(Wrong(where, "a list", show(value)))
            return value
        items = [_read(get_args(kind)[0], item, f"{where}[{index}]", problems) for index, item in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if origin is dict:
        if not isinstance(value, dict) or not value:
            problems.append(Wrong(where, "an object with something in it", show(value)))
            return value
        return {key: _read(get_args(kind)[1], item, f"{where}.{key}", problems) for key, item in value.items()}
    if _is_record(kind):
        return _read_object(kind, value, where, problems)
    return _read_plain(kind, value, where, problems)


def _read_object(cls: type, document: Any, where: str, problems: list[Wrong]) -> Any:
    if not isinstance(document, dict):
        problems.append(Wrong(where, "an object", show(document)))
        return document
    before = len(problems)
    values = {}
    for key in document:
        if key not in hints(cls):
            problems.append(Wrong(f"{where}.{key}", "no such field", show(document[key])))
    for name, kind in hints(cls).items():
        if name in document:
            values[name] = _read(kind, document[name], f"{where}.{name}", problems)
        elif name in required(cls):
            problems.append(Wrong(f"{where}.{name}", "a value", "nothing"))
    return cls(**values) if len(problems) == before else document


def _read_union(kinds: tuple[Any, ...], value: Any, where: str, problems: list[Wrong]) -> Any:
    branches = {get_args(hints(kind)["kind"])[0]: kind for kind in kinds if _is_record(kind)}
    if not branches:  # a union of plain types
        plain = [kind for kind in kinds if type(value) is kind]
        if not plain:
            problems.append(Wrong(where, " or ".join(_WORDS[kind] for kind in kinds), show(value)))
            return value
        return _read(plain[0], value, where, problems)
    if not isinstance(value, dict) or value.get("kind") not in list(branches):
        found = value.get("kind") if isinstance(value, dict) else value
        problems.append(Wrong(f"{where}.kind", " or ".join(map(str, branches)), show(found)))
        return value
    return _read(branches[value["kind"]], value, where, problems)


def _read_plain(kind: Any, value: Any, where: str, problems: list[Wrong]) -> Any:
    if kind is float and type(value) is int and abs(value) <= LARGEST_INTEGER:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        problems.append(Wrong(where, _WORDS[kind], show(value)))
    return value


def _is_record(kind: Any) -> bool:
    return is_dataclass(kind)


def _schema(kind: Any) -> dict[str, Any]:
    origin = get_origin(kind)
    if kind is Any:
        return {}
    if origin is Annotated:
        base, rule = get_args(kind)[:2]
        words = rule.prose or rule.quoted
        if rule.beyond:
            return {"description": rule.expected, "anyOf": [_schema(base), {"enum": list(NOT_FINITE)}]}
        bounds = {
            "pattern": f"^{rule.pattern}$" if rule.pattern else r"^\S([\s\S]*\S)?$" if words else None,
            "not": {"pattern": f"^(?:{_PLACEHOLDERS})$" if rule.quoted else _PLACEHOLDERS} if words else None,
            "minimum": rule.minimum,
            "exclusiveMinimum": rule.above,
            "minLength": 1 if words else None,
        }
        return {**_schema(base), "description": rule.expected, **{k: v for k, v in bounds.items() if v is not None}}
    if origin is Literal:
        return {"enum": list(get_args(kind))}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(item) for item in get_args(kind)]}
    if origin in (list, tuple):
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    if origin is dict:
        return {"type": "object", "minProperties": 1, "additionalProperties": _schema(get_args(kind)[1])}
    if _is_record(kind):
        return {
            "type": "object",
            "properties": {name: _schema(inner) for name, inner in hints(kind).items()},
            "required": sorted(required(kind)),
            "additionalProperties": False,
        }
    return {"type": _SCHEMA_WORDS[kind]}


def is_inner(path: str) -> bool:
    """Whether ``path`` stays inside the folder it is relative to."""
    pure = PurePosixPath(path)
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts and "\\" not in path and "\0" not in path
