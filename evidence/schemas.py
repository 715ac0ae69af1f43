"""JSON Schemas (2020-12) of what a bundle holds, generated from the classes that read it.

``python -m evidence.schemas FOLDER`` writes them; a reader without this code can check a bundle's documents by them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from evidence import canonical, events, typed
from evidence.manifest import EarlyManifest, EarlySummary, EvalSummary, RunManifest
from evidence.rehearsal import Rehearsal
from evidence.replay import Replay

DOCUMENTS: dict[str, type] = {
    "run_manifest": RunManifest,
    "eval_summary": EvalSummary,
    "early_run_manifest": EarlyManifest,
    "early_eval_summary": EarlySummary,
    "replay": Replay,
    "rehearsal": Rehearsal,
}
"""Of whole documents, by the name that the schema's file has."""

LINES = "event"
"""Of a line of events.jsonl, metrics.jsonl or samples.jsonl."""


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by its name."""
    found = {name: {**typed.json_schema(cls), "title": name} for name, cls in DOCUMENTS.items()}
    return {**found, LINES: _of_lines()}


def _of_lines() -> dict[str, Any]:
    kinds = []
    for kind, cls in events.KINDS.items():
        schema = typed.json_schema(cls)
        del schema["$schema"]
        schema["properties"] = {"kind": {"const": kind}, **schema["properties"]}
        schema["required"] = ["kind", *schema["required"]]
        kinds.append(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": LINES, "anyOf": kinds}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (folder / f"{name}.schema.json").write_text(canonical.pretty(schema), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
