"""``assay submission status`` says of each item what stands, and of nothing that it is done when it is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evidence import bundle, config_file
from evidence.reading import Bundle
from evidence.submission import IMPOSSIBLE, OPEN, PROVEN, of_bundle
from evidence.verify import verify
from tests import runs
from tests.evidence import rehearsals, tamper

ASSAY = [sys.executable, "-c", "import sys; from assay.cli import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a rehearsal. Never change it."""
    root = tmp_path_factory.mktemp("rehearsal")
    return bundle.seal(rehearsals.run(root), root / "bundles", "m1")


def ask(folder: Path, *options: str, config: str = "") -> subprocess.CompletedProcess[str]:
    config = config or str(rehearsals.submission(folder.parent))
    words = [*ASSAY, "submission", "status", str(folder), "--config", config, *options]
    home = {"ASSAY_HOME": str(folder.parent / "home")}
    return subprocess.run(words, cwd=runs.ROOT, env=os.environ | home, capture_output=True, text=True)


def test_a_rehearsal_proves_the_way_and_not_the_submission(rehearsed: Path) -> None:
    done = ask(rehearsed, "--quick", "--json")
    assert done.returncode == 1, done.stderr
    items: dict[str, Any] = {item["id"]: item for item in json.loads(done.stdout)["items"]}
    proven = {key for key, item in items.items() if item["standing"] == PROVEN}
    assert {"evidence", "values", "hardware-lines", "rehearsal", "fits-v5e-8", "fits-v3-8"} <= proven
    assert {"transformers", "gemma2", "gemma3"} <= proven
    assert items["gpu-block"]["said"] == "it was not refused"  # a small model may well train on a GPU
    assert not {"model", "steps", "devices", "evaluation", "replay", "signature"} & proven
    assert items["steps"]["title"] == "200 steps of 8 × 32 tokens"
    assert items["steps"]["said"].startswith("30 steps of 8 × 32 tokens, as a rehearsal")
    assert items["fits-v5e-8"]["evidence"] == ["submission_runs/m1/rehearsal/preflight_v5e-8.json"]


def test_it_is_readable_without_json(rehearsed: Path) -> None:
    done = ask(rehearsed, "--quick", config="submission_tpu")
    assert done.returncode == 1
    assert "proven          Gemma-size models never train on a GPU\n" in done.stdout
    assert "proven          The evidence verifies\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("m1: ")


def test_a_rehearsal_of_another_config_and_a_report_that_contradicts_itself_prove_nothing(
    rehearsed: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(rehearsed, tmp_path / "m1"))
    (tmp_path / "tiny.yaml").write_text(runs.config_text(runs.CONFIG))
    another = config_file.load_spec(tmp_path / "tiny.yaml")
    found = {item.id: item.standing for item in of_bundle(Bundle(folder), verify(folder), another)}
    assert (found["rehearsal"], found["fits-v5e-8"]) == (OPEN, OPEN)

    def swell(report: Any) -> None:
        report["plans"][report["chosen"]]["memory"]["peak"] = 90 << 30

    tamper.edit_json("rehearsal/preflight_v5e-8.json", swell)(folder)
    name = "rehearsal/rehearsal.json"
    tamper.edit_json(
        name,
        lambda d: (
            [item.update(peak_bytes=90 << 30) for item in d["preflights"] if item["topology"] == "v5e-8"] and None
        ),
    )(folder)
    tamper.reseal(folder)
    verdict = verify(folder)
    assert "RHS-02" in {result.id for result in verdict.failures}
    asked = config_file.load_spec(rehearsals.submission(tmp_path))
    assert {item.id: item.standing for item in of_bundle(Bundle(folder), verdict, asked)}["fits-v5e-8"] == OPEN


def test_what_cannot_run_here_says_why(rehearsed: Path) -> None:
    asked = config_file.load_spec(rehearsals.submission(rehearsed.parent))
    found = {item.id: item for item in of_bundle(Bundle(rehearsed), verify(rehearsed), asked, "there is no TPU")}
    assert found["devices"].standing == IMPOSSIBLE
    assert found["devices"].said.endswith("; there is no TPU")
    assert found["replay"].standing == OPEN
    here = {item.id: item for item in of_bundle(Bundle(rehearsed), verify(rehearsed), asked)}
    assert here["devices"].standing == OPEN


def test_the_run_itself_proves_its_steps_and_a_changed_one_nothing(tmp_path: Path) -> None:
    run = runs.new_run(tmp_path / "runs", {"training.steps": 30})
    assert runs.record(run) == 0
    folder = bundle.seal(run, tmp_path, "m1")
    (tmp_path / "tiny.yaml").write_text(runs.config_text(runs.CONFIG))
    asked = config_file.load_spec(tmp_path / "tiny.yaml")
    found = {item.id: item.standing for item in of_bundle(Bundle(folder), verify(folder), asked)}
    assert (found["steps"], found["evaluation"], found["model"]) == (PROVEN, PROVEN, PROVEN)
    assert (found["devices"], found["fits-v5e-8"]) == (OPEN, OPEN)
    (tmp_path / "other.yaml").write_text(runs.config_text(runs.CONFIG | {"optimizer": {"learning_rate": 1e-9}}))
    other = config_file.load_spec(tmp_path / "other.yaml")
    found = {item.id: item for item in of_bundle(Bundle(folder), verify(folder), other)}
    assert {found[id].standing for id in ("model", "steps", "evaluation", "rehearsal")} == {OPEN}
    assert "as a run that differs in optimizer.learning_rate" in found["model"].said
    tamper.set_value("run_manifest.json", "training.steps_completed", 200)(folder)
    tamper.reseal(folder)
    found = {item.id: item.standing for item in of_bundle(Bundle(folder), verify(folder), asked)}
    assert (found["steps"], found["evidence"]) == (OPEN, OPEN)


def test_a_bundle_that_is_not_there_is_named_with_what_makes_one(tmp_path: Path) -> None:
    done = ask(tmp_path / "m1")
    assert done.returncode == 2
    assert "there is no bundle m1; a rehearsal makes one: assay train submission_rehearsal" in done.stderr
