"""The research object says what the bundle says, by our check and by the format's own validator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evidence import bundle, crate, reading, record, rundir
from evidence.bundle import manifest_sums
from evidence.verify import verify
from tests import runs
from tests.evidence import tamper, validate_crate
from tests.evidence.tamper import Change, edit_json, set_value

Document = dict[str, Any]


def entity(document: Document, name: str) -> Document:
    return next(item for item in document["@graph"] if item["@id"] == name)


def edit(act: Callable[[Document], Any]) -> Change:
    return edit_json(reading.CRATE, act)


def drop(document: Document, name: str) -> None:
    document["@graph"].remove(entity(document, name))


LIES: list[tuple[str, Change, str]] = [
    ("a file left out", edit(lambda d: drop(d, "metrics.jsonl")), "expected an entity metrics.jsonl, found none"),
    ("it is still referred to", edit(lambda d: drop(d, "metrics.jsonl")),
     "./: hasPart: expected an entity of this crate, found metrics.jsonl, which is none"),
    ("a part left out", edit(lambda d: entity(d, "./")["hasPart"].remove({"@id": "metrics.jsonl"})),
     "./: hasPart: expected a reference to metrics.jsonl, found none"),
    ("another digest", edit(lambda d: entity(d, "metrics.jsonl").update(sha256="ab" * 32)), "metrics.jsonl: sha256: expected "),
    ("another size", edit(lambda d: entity(d, "metrics.jsonl").update(contentSize="1")), "metrics.jsonl: contentSize"),
    ("the end before the start", edit(lambda d: entity(d, "#run").update(endTime="2001-01-01T00:00:00.000000Z")),
     "#run: endTime: expected 20"),
    ("a dangling id", edit(lambda d: entity(d, "#run").update(agent={"@id": "#nobody"})),
     "#run: agent: expected an entity of this crate, found #nobody, which is none"),
    ("another name", edit(lambda d: entity(d, "./").update(name="another")), "./: name: expected tiny, found another"),
    ("another profile", edit(lambda d: entity(d, "./").update(conformsTo={"@id": "https://w3id.org/ro/wfrun/process/0.4"})),
     "./: conformsTo"),
    ("another status", edit(lambda d: entity(d, "#run").update(actionStatus=crate.FAILED)), "#run: actionStatus"),
    ("another instrument", edit(lambda d: entity(d, "#trainer").update(softwareVersion="9")), "#trainer: softwareVersion"),
    ("a licence", edit(lambda d: entity(d, "#licence").update(name="MIT")), "#licence: name"),
    ("an entity too many", edit(lambda d: d["@graph"].append({"@id": "#more", "@type": "Person"})),
     "expected no entity beyond the run and its sealed files, found #more"),
    ("an entity twice", edit(lambda d: d["@graph"].append(entity(d, "#run"))), "expected the file as sealing writes it"),
    ("a result that is none", edit(lambda d: entity(d, "#run")["result"].append({"@id": "README.md"})),
     "#run: result: expected no other reference, found {'@id': 'README.md'}"),
    ("another context", set_value(reading.CRATE, "@context", "https://w3id.org/ro/crate/1.2/context"), "$.@context"),
    ("no crate", lambda folder: (folder / reading.CRATE).unlink(), f"{reading.CRATE}: expected a file, found nothing"),
    ("no graph", lambda folder: (folder / reading.CRATE).write_text("{}\n"), "content of the shape this check reads"),
    ("a text", lambda folder: (folder / reading.CRATE).write_text('"x"\n'), "content of the shape this check reads"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
def test_a_crate_that_says_something_else_is_named(copy: Callable[[], Path], change: Change, said: str) -> None:
    folder = copy()
    change(folder)
    (folder / reading.SUMS).write_text(manifest_sums(folder))
    verdict = verify(folder)
    assert {result.id for result in verdict.failures} == {"INT-04"}
    sentences = [str(finding) for finding in verdict.failures[0].findings]
    assert any(said in sentence for sentence in sentences), sentences


def test_a_run_of_another_time_is_another_crate(copy: Callable[[], Path]) -> None:
    folder = copy()
    before = (folder / reading.CRATE).read_bytes()
    set_value(reading.MANIFEST, "run.notes", ["another note"])(folder)
    tamper.reseal(folder)
    assert "INT-04" not in {result.id for result in verify(folder).failures}
    assert (folder / reading.CRATE).read_bytes() != before


def test_a_changed_byte_is_one_finding_not_two(copy: Callable[[], Path]) -> None:
    folder = copy()
    (folder / "samples.jsonl").write_bytes((folder / "samples.jsonl").read_bytes() + b"{}\n")
    assert "INT-04" not in {result.id for result in verify(folder).failures}


def test_the_crate_describes_the_run_and_each_sealed_file(sealed: Path) -> None:
    document = json.loads((sealed / reading.CRATE).read_text())
    manifest = json.loads((sealed / reading.MANIFEST).read_text())
    action = entity(document, "#run")
    assert (action["startTime"], action["endTime"]) == (manifest["run"]["started_at"], manifest["run"]["finished_at"])
    listed = dict(reversed(line.split("  ")) for line in (sealed / reading.SUMS).read_text().splitlines())
    listed.pop(reading.CRATE)
    described = {item["name"]: item["sha256"] for item in document["@graph"] if item["@type"] == "File"}
    assert described == listed
    assert {"@id": "data/train.jsonl"} in action["object"]
    assert {"@id": "metrics.jsonl"} in action["result"]
    assert "sealed_at" not in json.dumps(document)


def test_a_run_that_did_not_complete_says_so(tmp_path: Path) -> None:
    run = runs.new_run(tmp_path / "runs", {"training.steps": 1000})
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.02"])
    runs.wait_for(lambda: b'"step":5,' in runs.log_of(run))
    assert record.request_stop(run)
    runs.wait_for((run / rundir.EXIT).exists)
    place = bundle.seal(run, tmp_path / "out", "halted")
    action = entity(json.loads((place / reading.CRATE).read_text()), "#run")
    assert action["actionStatus"] == crate.FAILED
    assert action["error"].startswith("stopped: ")
    _conforms(place)


def test_the_formats_own_validator_accepts_it(sealed: Path) -> None:
    _conforms(sealed)


def test_the_validator_would_object(copy: Callable[[], Path]) -> None:
    folder = copy()
    edit(lambda document: entity(document, "#run").update(instrument="nothing"))(folder)
    assert any("instrument" in issue for issue in _validated(folder)["issues"])


def test_every_word_of_the_crate_has_its_meaning(sealed: Path) -> None:
    document = json.loads((sealed / reading.CRATE).read_text())
    words = {key for item in document["@graph"] for key in item} | {item["@type"] for item in document["@graph"]}
    assert {word for word in words if not word.startswith("@")} <= {*validate_crate.MEANINGS, *document["@context"][1]}


def _conforms(folder: Path) -> None:
    said = _validated(folder)
    assert (said["passed"], said["issues"], said["skipped"]) == (True, [], [])
    assert len(said["executed"]) >= 40


def _validated(folder: Path) -> Document:
    python = os.environ.get("ROC_PYTHON") or (sys.executable if find_spec("rocrate_validator") else "")
    if not python:
        pytest.skip("roc-validator lives in an environment of its own: name its Python in ROC_PYTHON")
    done = subprocess.run([python, validate_crate.__file__, str(folder)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]
