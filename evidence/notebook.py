"""The notebook of a rented session, from its one source ``notebooks/submission.py`` (cells in percent format).

Building it changes nothing but the values of the cell that is tagged ``parameters``, and gives the same bytes for the
same parameters.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evidence import canonical
from evidence.provenance import REPOSITORY
from evidence.source_archive import Archive
from evidence.spec import Scalar

SOURCE = REPOSITORY / "notebooks" / "submission.py"
COMMITTED = REPOSITORY / "notebooks" / "kaggle_submission.ipynb"

_CELL = re.compile(r"^# %%(?P<markdown> \[markdown\])?(?: tags=(?P<tags>\[.*\]))?$")
_VALUE = re.compile(r"^(?P<name>[A-Z][A-Z0-9_]*) = (?P<value>.*?)(?P<comment>  # .*)?$")


@dataclass(frozen=True)
class Parameters:
    """The values of the parameters' cell, by their names there in small letters. ``archive``: base64 of the archive."""

    commit: str = ""
    archive_sha256: str = ""
    archive: str = field(default="", repr=False)
    config: str = "training/configs/submission_tpu.yaml"
    overrides: Mapping[str, Scalar] = field(default_factory=dict)
    run_name: str = "m37_v1"
    run_id: str = ""
    nonce: str = ""
    resume: bool = False
    require: str = "tpu"
    devices: int = 8
    deadline_hours: float = 8.5
    smoke: bool = False
    smoke_config: str = "training/configs/smoke_tiny.yaml"
    rehearses: str = ""
    preflights: str = ""


def pinned(archive: Archive, *, embed: bool, **values: Any) -> Parameters:
    """Parameters that name the archive's commit and digest; with ``embed`` the notebook carries the archive itself."""
    text = base64.b64encode(archive.data).decode() if embed else ""
    return Parameters(commit=archive.commit, archive_sha256=archive.sha256, archive=text, **values)


def build(parameters: Parameters, source: Path = SOURCE) -> bytes:
    """The notebook as ``.ipynb`` (format 4.5). Raises ValueError where the source has no cell for a parameter."""
    cells = []
    for number, (markdown, tags, lines) in enumerate(_cells(source.read_text(encoding="utf-8"))):
        if "parameters" in tags:
            lines = _filled(lines, asdict(parameters))
        if markdown:
            lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
        text = "\n".join(lines)
        cell: dict[str, Any] = {
            "cell_type": "markdown" if markdown else "code",
            "id": f"{number:02}-{canonical.sha256(str(number).encode())[:8]}",
            "metadata": {"tags": tags} if tags else {},
            "source": [f"{line}\n" for line in text.split("\n")[:-1]] + [text.split("\n")[-1]],
        }
        cells.append(cell if markdown else cell | {"execution_count": None, "outputs": []})
    document = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _cells(text: str) -> list[tuple[bool, list[str], list[str]]]:
    """(markdown, tags, lines) of each cell."""
    found: list[tuple[bool, list[str], list[str]]] = []
    for line in text.rstrip("\n").split("\n"):
        if match := _CELL.match(line):
            found.append((bool(match["markdown"]), json.loads(match["tags"] or "[]"), []))
        elif found:
            found[-1][2].append(line)
    return found


def _filled(lines: list[str], values: dict[str, Any]) -> list[str]:
    """The lines with these values in place of those that stand there."""
    left, filled = {name.upper(): value for name, value in values.items()}, []
    for line in lines:
        match = _VALUE.match(line)
        if match and match["name"] in left:
            line = f"{match['name']} = {_literal(left.pop(match['name']))}{match['comment'] or ''}"
        filled.append(line)
    if left:
        raise ValueError(f"the parameters' cell has no {', '.join(left)}")
    return filled


def _literal(value: object) -> str:
    """A Python literal, strings in double quotes as the source has them."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {_literal(item)}" for key, item in sorted(value.items())) + "}"
    return repr(value)
