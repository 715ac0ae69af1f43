"""A forger's tools: change a bundle, then make everything that is merely bytes agree again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evidence import bundle, canonical, crate, events, reading, rehearsal, report

Change = Callable[[Path], None]


def edit_json(name: str, act: Callable[[Any], Any]) -> Change:
    """Change a JSON document in place; ``act`` may return a new one."""

    def change(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        changed = act(document)
        document = document if changed is None else changed
        (folder / name).write_text(json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n")

    return change


def set_value(name: str, where: str, value: Any) -> Change:
    """Set the value at a dotted path, list indexes included: ``metrics.0.value``."""

    def act(document: Any) -> None:
        *parents, last = where.split(".")
        for part in parents:
            document = document[int(part)] if part.isdigit() else document[part]
        document[int(last) if last.isdigit() else last] = value

    return edit_json(name, act)


def edit_lines(name: str, act: Callable[[list[Any]], Any]) -> Change:
    """Change the documents of a JSON Lines file in place."""

    def change(folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        act(rows)
        (folder / name).write_text("".join(canonical.encode(row) + "\n" for row in rows))

    return change


def edit_text(name: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        (folder / name).write_text(text.replace(old, new))

    return change


def rechain(folder: Path) -> None:
    """Make the hash chain whole again, from the genesis that stands in the manifest."""
    path = folder / reading.METRICS
    head = json.loads((folder / reading.MANIFEST).read_text())["metrics"]["genesis"]
    lines = []
    for line in path.read_text().splitlines():
        row = {**json.loads(line), "prev": head}
        row["hash"] = head = events.link(row)
        lines.append(canonical.encode(row) + "\n")
    path.write_text("".join(lines))


def relog(folder: Path) -> None:
    """Make the log say the rows and events that the files have."""
    log = folder / reading.LOG
    said = {name: iter((folder / name).read_text().splitlines())
            for name in (reading.METRICS, reading.EVENTS, reading.SAMPLES)}  # fmt: skip
    lines = []
    for line in log.read_text().splitlines():
        if line.startswith(events.LOG_MARK):
            kind = json.loads(line.removeprefix(events.LOG_MARK))["kind"]
            name = {"step": reading.METRICS, "sample": reading.SAMPLES}.get(kind, reading.EVENTS)
            line = events.LOG_MARK + next(said[name], "")
        lines.append(line + "\n")
    log.write_text("".join(lines))


def reseal(folder: Path) -> None:
    """Recompute every descriptor, the README, the crate and MANIFEST.sha256."""
    for name in (reading.MANIFEST, reading.SUMMARY, rehearsal.DOCUMENT):
        if not (folder / name).is_file():
            continue
        document = json.loads((folder / name).read_text())
        _redescribe(document, folder)
        log = document.get("location", {}).get("session_log", {}) if isinstance(document, dict) else {}
        if "line_count" in log and (folder / reading.LOG).is_file():
            log["line_count"] = (folder / reading.LOG).read_bytes().count(b"\n")
        (folder / name).write_text(json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n")
    for name, written in ((reading.README, report.readme), (reading.CRATE, crate.text)):
        try:
            (folder / name).write_text(written(reading.Bundle(folder)))
        except (reading.Unreadable, ArithmeticError, ValueError, IndexError):
            pass  # then the forger keeps the old one
    (folder / reading.SUMS).write_text(bundle.manifest_sums(folder))


def _redescribe(value: Any, folder: Path) -> None:
    if isinstance(value, dict):
        if set(value) == {"path", "sha256", "bytes"} and (folder / str(value["path"])).is_file():
            value["sha256"] = canonical.sha256_file(folder / value["path"])
            value["bytes"] = (folder / value["path"]).stat().st_size
        for item in value.values():
            _redescribe(item, folder)
    elif isinstance(value, list):
        for item in value:
            _redescribe(item, folder)
