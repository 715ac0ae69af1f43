"""Shipped configs, and the data files that a form may offer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from backend.configs.answers import Config, DataFile
from backend.errors import on_field
from backend.settings import REPOSITORY, Settings
from evidence import canonical, config_file
from evidence.spec import SpecError, parse

MOST_FILES, DEEPEST = 500, 4
FIRST_ROW_BYTES = 64 << 10


def configs(settings: Settings) -> list[Config]:
    return [_config(path) for path in _paths(settings)]


def find(settings: Settings, name: str) -> Path:
    """The shipped config of this file name, stem, or path relative to the repository. Raises Invalid."""
    paths = _paths(settings)
    for path in paths:
        if name in (path.stem, path.name, shown(path), str(path)):
            return path
    known = ", ".join(path.stem for path in paths) or "none"
    raise on_field("config", f"config must name one of the shipped configs ({known}), got {name[:80]!r}")


def data_files(settings: Settings) -> list[DataFile]:
    """JSON Lines files in the data roots, at most a few hundred."""
    found: dict[str, DataFile] = {}
    for root in settings.data_roots:
        for path in _below(root, DEEPEST):
            if len(found) >= MOST_FILES:
                break
            fields = _first_row(path)
            if fields:
                found[shown(path)] = DataFile(path=shown(path), bytes=path.stat().st_size, fields=fields)
    return list(found.values())


def shown(path: Path) -> str:
    """A path as a spec carries it: relative to the repository, where trainers start; absolute elsewhere."""
    return path.relative_to(REPOSITORY).as_posix() if path.is_relative_to(REPOSITORY) else str(path)


def _paths(settings: Settings) -> list[Path]:
    return sorted(settings.configs.glob("*.yaml"))


def _config(path: Path) -> Config:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    spec, problem = None, None
    try:
        spec = parse(config_file.loads(text, shown(path)))
    except SpecError as error:
        problem = str(error)
    return Config(
        name=path.stem,
        path=shown(path),
        text=text,
        sha256=canonical.sha256(text.encode()),
        description=spec.description if spec else "",
        expected_duration=spec.expected_duration if spec else "",
        expected_result=spec.expected_result if spec else "",
        spec=spec.as_dict() if spec else None,
        problem=problem,
    )


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_file() and entry.name.endswith(".jsonl"):
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False) and depth > 1 and not entry.name.startswith("."):
            yield from _below(Path(entry.path), depth - 1)


def _first_row(path: Path) -> list[str]:
    """Field names of the first row; empty for a file that holds none."""
    try:
        with path.open("rb") as stream:
            row = json.loads(stream.readline(FIRST_ROW_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    return [key for key in row if key.isprintable()] if isinstance(row, dict) else []
