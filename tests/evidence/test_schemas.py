"""The published schemas say what the reader says: no null, no placeholder, nothing missing, nothing more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from evidence import reading, schemas
from tests.evidence.test_outcomes import ended, sealed  # noqa: F401
from tests.evidence.test_tampering import nodes
from tests.runs import ROOT

PUBLISHED = ROOT / "docs" / "schemas"


def validator(name: str) -> Any:
    return jsonschema_rs.validator_for(json.loads((PUBLISHED / f"{name}.schema.json").read_text()))


def test_what_is_published_is_what_the_code_says() -> None:
    assert {path.name for path in PUBLISHED.iterdir()} == {f"{name}.schema.json" for name in schemas.schemas()}
    for name, schema in schemas.schemas().items():
        assert json.loads((PUBLISHED / f"{name}.schema.json").read_text()) == schema, "run make types"


@pytest.fixture
def documents(sealed: dict[str, Path]) -> dict[str, Any]:  # noqa: F811
    rows, early = sealed["failed in the middle"], sealed["failed before its first word"]
    return {
        "run_manifest": json.loads((rows / reading.MANIFEST).read_text()),
        "eval_summary": json.loads((rows / reading.SUMMARY).read_text()),
        "early_run_manifest": json.loads((early / reading.MANIFEST).read_text()),
        "early_eval_summary": json.loads((early / reading.SUMMARY).read_text()),
    }


@pytest.mark.parametrize("name", ["run_manifest", "eval_summary", "early_run_manifest", "early_eval_summary"])
def test_a_document_follows_its_schema_and_no_emptied_one_does(documents: dict[str, Any], name: str) -> None:
    whole, check = documents[name], validator(name)
    check.validate(whole)
    free = {"command", "changed_files", "answer_delimiter", "overrides"}
    open_objects = {"versions", "axes"}
    for where in nodes(whole):
        if free & set(where):
            continue
        for value in (None, "<PENDING>", "todo", "", {}):
            assert not check.is_valid(_with(whole, where, value)), (where, value)
        if isinstance(where[-1], str) and not open_objects & set(where):
            assert not check.is_valid(_with(whole, where)), where
            inner = _at(whole, where)
            if isinstance(inner, dict):
                assert not check.is_valid(_with(whole, where, {**inner, "another": 1})), where


@pytest.mark.parametrize("end", ["failed in the middle", "killed in the middle", "failed before its first step"])
def test_every_line_follows_the_schema_of_lines(sealed: dict[str, Path], end: str) -> None:  # noqa: F811
    check = validator(schemas.LINES)
    for name in (reading.EVENTS, reading.METRICS, reading.SAMPLES):
        path = sealed[end] / name
        for line in path.read_text().splitlines() if path.exists() else []:
            check.validate(json.loads(line))
    assert not check.is_valid({"kind": "phase", "name": "training"})
    assert not check.is_valid({"kind": "rumour", "time": "now"})


def _at(document: Any, where: tuple[Any, ...]) -> Any:
    for part in where:
        document = document[part]
    return document


def _with(whole: Any, where: tuple[Any, ...], *value: Any) -> Any:
    """A copy with another value there, or without that key."""
    document = json.loads(json.dumps(whole))
    parent = _at(document, where[:-1])
    if value:
        parent[where[-1]] = value[0]
    else:
        del parent[where[-1]]
    return document
