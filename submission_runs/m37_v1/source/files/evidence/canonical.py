"""One way to write JSON, and one strict way to read it.

Digests are taken over these bytes, so there is exactly one encoding of a value: sorted keys, no spaces, UTF-8,
shortest round-trip floats. Reading refuses what parsers disagree about: duplicate keys, NaN, Infinity, integers
beyond 2^53-1, lone surrogates, and nesting beyond a hundred levels.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

LARGEST_INTEGER = 2**53 - 1
DEEPEST = 100
"""So many levels may a document have: readers that recurse must not be led into their limit."""

Json = Any  # None | bool | int | float | str | list[Json] | dict[str, Json]


class JsonError(ValueError):
    """The text is not JSON that every parser reads alike; the message says where and why."""


def encode(value: Json) -> str:
    """Canonical text of ``value``. Raises JsonError for what strict readers would refuse."""
    _refuse_ambiguous(value, "$")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def pretty(value: Json) -> str:
    """The same document for human eyes: sorted keys, two spaces, final newline."""
    _refuse_ambiguous(value, "$")
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def decode(text: str | bytes) -> Json:
    """The value of ``text``; ``decode(encode(v)) == v``. Raises JsonError."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise JsonError(str(error)) from None
    _refuse_ambiguous(value, "$")
    return value


def read(path: Path) -> Json:
    """The value in the file at ``path``. Raises JsonError (naming the file) or OSError."""
    try:
        return decode(path.read_bytes())
    except JsonError as error:
        raise JsonError(f"{path.name}: {error}") from None


def digest(value: Json) -> str:
    """SHA-256 (64 hex) of the canonical bytes."""
    return sha256(encode(value).encode())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 (64 hex) of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return document


def _constant(word: str) -> Json:
    raise ValueError(f"{word} is not JSON")


def _refuse_ambiguous(value: Json, where: str, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise JsonError(f"{where[:60]}…: nested deeper than {DEEPEST} levels")
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise JsonError(f"{where}: a lone surrogate is not text") from None
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise JsonError(f"{where}: the integer {value} is beyond 2^53-1")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise JsonError(f"{where}: {value} is not JSON")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_ambiguous(key, where)
            _refuse_ambiguous(item, f"{where}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_ambiguous(item, f"{where}[{index}]", depth + 1)
    else:
        raise JsonError(f"{where}: {type(value).__name__} is not JSON")
