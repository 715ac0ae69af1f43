"""Every committed bundle verifies, was produced from a commit of this history, and says what it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from evidence import audit, config_file, replaying, report, submission, trust
from evidence.known import Known
from evidence.reading import Bundle
from evidence.verdict import PASS
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


NAMES = {path.name for path in BUNDLES}


def test_the_bundles_show_each_way_a_run_can_go() -> None:
    assert {"demo_reasoning_v1", "resumed_v1", "lora_v1", "sharded_v1", "failed_v1", "m37_v1"} <= NAMES


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_committed_bundle_is_coherent(bundle: Path) -> None:
    verdict = verify(bundle)
    assert verdict.failures == ()
    assert verdict.level == "E2"


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_committed_bundle_is_read_again_and_nothing_contradicts_it(bundle: Path) -> None:
    """Where the code has moved on since, a check may be unable to answer; it may never fail."""
    verdict = verify(bundle, known=Known(audit=audit.make(bundle)))
    assert verdict.failures == ()
    answered = {result.id for result in verdict.results if result.cost == "audit" and result.result == PASS}
    assert {"CKP-05", "CKP-06", "CKP-08", "CKP-10"} <= answered


def test_the_rehearsal_proves_the_way_and_nothing_of_the_submission() -> None:
    bundle = ROOT / "submission_runs" / "m37_v1"
    asked = config_file.load_spec(ROOT / "training/configs/submission_tpu.yaml")
    found = {item.id: item for item in submission.of_bundle(Bundle(bundle), verify(bundle), asked)}
    proven = {id for id, item in found.items() if item.standing == submission.PROVEN}
    way = {"evidence", "values", "hardware-lines", "source", "rehearsal", "fits-v5e-8", "fits-v3-8"}
    assert way <= proven
    assert not {"model", "steps", "devices", "platform", "evaluation"} & proven
    assert all((ROOT / path).exists() for id in way for path in found[id].evidence)
    readme = (bundle / "README.md").read_text()
    assert readme.splitlines()[2].startswith(
        "A rehearsal on CPU of submission_tpu, not the submission: the run on the TPU"
    )


@pytest.mark.parametrize("name", ["sharded_v1", "resumed_v1"])
def test_a_drawn_segment_of_a_committed_bundle_is_trained_again(name: str) -> None:
    bundle = ROOT / "submission_runs" / name
    try:
        replayed = replaying.make(bundle, replaying.Ask(nonce="the gate draws"))
    except replaying.CannotReplay as error:
        pytest.skip(f"the code has moved on since: {error}")
    verdict = verify(bundle, known=Known(audit=audit.make(bundle), replay=replayed))
    assert verdict.failures == ()
    assert {result.result for result in verdict.results if result.id in ("RPL-01", "RPL-02", "RPL-03", "RPL-06")} == {
        PASS
    }


def test_the_bundles_are_signed_by_the_key_that_the_repository_names() -> None:
    named = trust.read(trust.PINNED)
    for bundle in BUNDLES:
        results = {result.id: result for result in verify(bundle, known=Known(trust=named)).results}
        assert {results[check].result for check in ("SIG-01", "SIG-02", "SIG-03", "SIG-04")} == {PASS}


def test_the_failed_run_says_so_first() -> None:
    bundle = ROOT / "submission_runs" / "failed_v1"
    verdict = verify(bundle)
    assert report.report(bundle, verdict).sentence.startswith("A run that failed: NonFiniteLoss while training: ")
    assert verdict.gaps == ("E3 (bound) is not for a run that ended like this: it has no result to prove.",)


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
