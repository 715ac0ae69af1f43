"""Every committed bundle verifies, was produced from a commit of this history, and says what it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from evidence import report
from evidence.verify import verify
from tests.runs import ROOT

# Those that git knows: a bundle that somebody has just sealed here is theirs to judge.
_TRACKED = subprocess.run(
    ["git", "-C", str(ROOT), "ls-files", "submission_runs/*/run_manifest.json"],
    capture_output=True,
    text=True,
    check=True,
)
BUNDLES = sorted(ROOT / Path(line).parent for line in _TRACKED.stdout.splitlines())


def test_there_is_a_demo_bundle() -> None:
    assert "demo_reasoning_v1" in [path.name for path in BUNDLES]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_committed_bundle_is_coherent(bundle: Path) -> None:
    verdict = verify(bundle)
    assert verdict.failures == ()
    assert verdict.level == "E2"


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_committed_bundle_was_made_by_a_commit_of_this_history(bundle: Path) -> None:
    source = json.loads((bundle / "run_manifest.json").read_text())["source"]
    git = ["git", "-C", str(ROOT)]
    shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True, text=True)
    if shallow.stdout.strip() != "false":
        pytest.skip("this checkout has no history to look in")
    subprocess.run([*git, "merge-base", "--is-ancestor", source["commit"], "HEAD"], check=True)


def test_the_demo_learned_its_task_on_a_cpu_and_says_so() -> None:
    bundle = ROOT / "submission_runs" / "demo_reasoning_v1"
    summary = json.loads((bundle / "eval_summary.json").read_text())
    assert summary["evaluation"]["metrics"][0]["value"] >= 0.9
    assert "A CPU run, not a TPU run." in report.report(bundle, verify(bundle)).sentence
