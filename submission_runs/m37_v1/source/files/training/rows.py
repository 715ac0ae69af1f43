"""Rows of text: strict JSON Lines, what is held out, and what of it was trained on anyway."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evidence import canonical, scoring
from evidence.events import FileDigest
from evidence.spec import DataSpec
from training.errors import DataError


@dataclass(frozen=True)
class Row:
    """``id`` is the file's stem and the line's number: ``reasoning:17``."""

    id: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Rows:
    train: tuple[Row, ...]
    held_out: tuple[Row, ...]


def read(spec: DataSpec) -> Rows:
    """Training and held-out rows. Raises DataError naming file, line and field."""
    train = read_file(Path(spec.train_path), spec)
    if spec.eval_path:
        held_out = read_file(Path(spec.eval_path), spec)[: spec.eval_rows]
    else:
        if spec.eval_rows >= len(train):
            raise DataError(
                f"data.eval_rows {spec.eval_rows} leaves nothing to train on: {spec.train_path} has {len(train)} rows"
            )
        train, held_out = train[: -spec.eval_rows], train[-spec.eval_rows :]
    return Rows(tuple(train), tuple(held_out))


def read_file(path: Path, spec: DataSpec) -> list[Row]:
    """The rows of one JSON Lines file; empty lines do not count."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    rows = [_row(path, number, line, spec) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows


def overlap(rows: Rows) -> int:
    """How many held-out rows ask what a training row asks, case and white space aside."""
    trained = {scoring.normalized(row.prompt) for row in rows.train}
    return sum(scoring.normalized(row.prompt) in trained for row in rows.held_out)


def write(run: Path, name: str, rows: tuple[Row, ...]) -> FileDigest:
    """Write rows as canonical JSON Lines at ``run/name``."""
    lines = (canonical.encode({"id": row.id, "prompt": row.prompt, "answer": row.answer}) + "\n" for row in rows)
    return write_once(run, name, "".join(lines))


def write_once(run: Path, name: str, text: str) -> FileDigest:
    """``write_text`` for what the whole run depends on. Raises DataError where an earlier attempt wrote other text."""
    data, path = text.encode("utf-8"), run / name
    if path.is_file() and (before := canonical.sha256_file(path)) != (found := canonical.sha256(data)):
        raise DataError(
            f"{name} of this run has sha256 {before}, but what was read now gives {found}: the data or the tokenizer "
            "changed since the run began; restore them, or start a new run"
        )
    return write_text(run, name, text)


def write_text(run: Path, name: str, text: str) -> FileDigest:
    """Write one file of the run folder, newlines as they are, and digest it."""
    data = text.encode("utf-8")
    path = run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return FileDigest(path=name, sha256=canonical.sha256(data), bytes=len(data))


def _row(path: Path, number: int, line: bytes, spec: DataSpec) -> Row:
    try:
        document = canonical.decode(line)
    except canonical.JsonError as error:
        raise DataError(f"{path}, line {number}: not JSON that can be read: {error}") from None
    if not isinstance(document, dict):
        raise DataError(f"{path}, line {number}: expected an object with fields, found {type(document).__name__}")
    values = []
    for field in (spec.prompt_field, spec.answer_field):
        value = document.get(field)
        if not isinstance(value, str) or not value.strip():
            found = "no such field" if field not in document else "no text" if value == "" else f"{str(value)[:60]!r}"
            raise DataError(
                f"{path}, line {number}: field {field!r} must hold text, found {found}; the row has the fields "
                f"{', '.join(sorted(document))[:200] or 'none'}"
            )
        values.append(value)
    return Row(f"{path.stem}:{number}", *values)
