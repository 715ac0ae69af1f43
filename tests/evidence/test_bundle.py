"""Sealing makes a bundle that verifies, or none at all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence import bundle, reading, record, report, rundir
from evidence.verdict import NOT_RUN
from evidence.verify import NotABundle, verify
from tests import runs


def python(bundle: Path, *arguments: str, site: bool = True) -> subprocess.CompletedProcess[str]:
    """``python -m evidence verify`` as a stranger runs it; without ``site``, on a Python with nothing installed."""
    isolation, quick = ([], ["--quick"]) if site else (["-S", "-E"], [])
    command = [sys.executable, *isolation, "-m", "evidence", "verify", *quick, str(bundle), *arguments]
    return subprocess.run(command, cwd=runs.ROOT, capture_output=True, text=True)


def test_a_sealed_run_verifies(sealed: Path) -> None:
    verdict = verify(sealed)
    assert verdict.failures == ()
    clean = json.loads((sealed / reading.MANIFEST).read_text())["source"]["clean"]
    assert verdict.level == ("E2" if clean else "E1")
    open_checks = {result.id for result in verdict.results if result.result == NOT_RUN and result.level <= "E2"}
    assert open_checks <= {"PRV-02"}
    assert verdict.gaps


def test_it_verifies_on_a_bare_python(sealed: Path) -> None:
    done = python(sealed, site=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "A CPU run, not a TPU run." in done.stdout
    assert "PyYAML is not installed" in done.stdout
    assert re.search(r"NOT-RUN [^:]*MET-08", done.stdout)
    assert "needs the trainer's packages" in done.stdout


def test_a_changed_bundle_exits_with_1_and_names_the_finding(copy: Callable[[], Path]) -> None:
    folder = copy()
    (folder / reading.LOG).write_text("nothing\n")
    done = python(folder)
    assert done.returncode == 1
    assert "FAIL    INT-01" in done.stdout
    assert f"{reading.LOG}: sha256: expected" in done.stdout


def test_what_is_no_bundle_exits_with_2(tmp_path: Path) -> None:
    done = python(tmp_path / "nothing")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    with pytest.raises(NotABundle):
        verify(tmp_path / "nothing")


def test_an_empty_folder_is_judged_without_a_crash(tmp_path: Path) -> None:
    assert not verify(tmp_path).valid
    assert python(tmp_path).returncode == 1


def test_a_level_can_be_asked_for(sealed: Path) -> None:
    assert python(sealed, "--level", "E1").returncode == 0
    assert python(sealed, "--level", "E4").returncode == 1


def test_the_verdict_can_be_had_as_json(sealed: Path) -> None:
    verdict = json.loads(python(sealed, "--json").stdout)
    assert verdict["valid"] is True
    assert {"id", "family", "proves", "level", "result"} <= set(verdict["results"][0])


def test_sha256sum_accepts_the_manifest(sealed: Path) -> None:
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", reading.SUMS], cwd=sealed, check=True)


def test_the_report_tells_claims_with_their_proof(sealed: Path) -> None:
    told = report.report(sealed, verify(sealed))
    assert told.sentence.startswith("Gemma-architecture model of 6.5 k parameters, 40 steps on 1 CPU device")
    verdicts = {claim.id: claim.verdict for claim in told.claims}
    assert verdicts.pop("source") in ("holds", "unproven")
    assert set(verdicts.values()) == {"holds"}
    assert all((sealed / proof.file).is_file() for claim in told.claims for proof in claim.proofs)


def test_the_report_of_an_altered_bundle_begins_with_the_distrust(copy: Callable[[], Path]) -> None:
    folder = copy()
    (folder / reading.README).write_text("all is well\n")
    sentence = report.report(folder, verify(folder)).sentence
    assert sentence.startswith("Not to be trusted: 2 checks failed. It claims: Gemma-architecture model")


def test_a_name_is_taken_once(ended_run: Path, sealed: Path) -> None:
    with pytest.raises(bundle.NameTaken, match="there is a bundle named tiny already"):
        bundle.seal(ended_run, sealed.parent, "tiny")


def test_the_run_knows_its_bundles(ended_run: Path, sealed: Path) -> None:
    names = [item["name"] for item in rundir.read_document(ended_run / rundir.SEALED)["bundles"]]
    assert "tiny" in names


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 81, "a\nb"])
def test_a_bad_name_is_refused(ended_run: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(bundle.SealRefused):
        bundle.seal(ended_run, tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_not_ended_is_refused(tmp_path: Path) -> None:
    with pytest.raises(bundle.SealRefused, match="expected a run that has ended, found queued"):
        bundle.seal(runs.new_run(tmp_path / "runs"), tmp_path / "out", "x")


@pytest.mark.parametrize(
    "harm",
    [
        lambda run: (run / "data" / "train.jsonl").unlink(),
        lambda run: (run / "eval" / "predictions-000040.jsonl").write_text("{}\n"),
        lambda run: shutil.rmtree(run / "checkpoints" / "step_000040"),
        lambda run: (run / "output.log").write_text("nothing\n"),
        lambda run: (run / "source" / "evidence" / "spec.py").write_text("# another\n"),
    ],
)
def test_a_harmed_run_is_refused_and_leaves_nothing_half_made(
    ended_run: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    run = Path(shutil.copytree(ended_run, tmp_path / "runs" / ended_run.name))
    harm(run)
    with pytest.raises(bundle.SealRefused) as refused:
        bundle.seal(run, tmp_path / "out", "x")
    assert all(result.findings for result in refused.value.results)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_stopped_run_is_sealed_honestly(tmp_path: Path) -> None:
    run = runs.new_run(tmp_path / "runs", {"training.steps": 1000})
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.02"])
    runs.wait_for(lambda: b'"step":5,' in runs.log_of(run))
    assert record.request_stop(run)
    runs.wait_for((run / rundir.EXIT).exists)
    place = bundle.seal(run, tmp_path / "out", "halted")
    verdict = verify(place)
    assert verdict.failures == ()
    assert " of 1,000 steps on 1 CPU device" in report.report(place, verdict).sentence
    assert report.report(place, verdict).sentence.startswith("A run that was stopped: Stopped on request after step ")


def test_a_preflight_is_claimed_with_its_proof_and_told_in_the_readme(sealed: Path, ended_run: Path) -> None:
    assert (sealed / "preflight.json").read_bytes() == (ended_run / "preflight.json").read_bytes()
    claims = {claim.id: claim for claim in report.report(sealed, verify(sealed)).claims}
    assert claims["preflight"].said.startswith("Fits on v5e-8 (8 × TPU v5 lite): ")
    assert "foretold for 8 × TPU v5 lite, run on 1 × cpu" in claims["preflight"].said
    assert claims["preflight"].proofs[0].checks == ("PFL-01",)
    assert f"| Preflight | {claims['preflight'].said} |" in (sealed / reading.README).read_text()


@pytest.mark.parametrize(
    ("kept", "because"),
    [
        (None, "no preflight of this step was made before the run was asked for"),
        ("{}", "the report that the run kept is not of this version"),
        ({"training.batch_size": 16}, "the report that the run kept is of another step"),
    ],
)
def test_a_run_without_a_preflight_of_its_step_seals_and_claims_none(
    tmp_path: Path, kept: str | dict[str, int] | None, because: str
) -> None:
    run = runs.new_run(tmp_path / "runs", name="plain")
    assert runs.record(run) == 0
    if isinstance(kept, str):
        (run / rundir.PREFLIGHT).write_text(kept)
    elif kept:
        shutil.copyfile(runs.preflight_report(tmp_path / "preflights", dict(kept)), run / rundir.PREFLIGHT)
    place = bundle.seal(run, tmp_path / "bundles", "plain")
    stated = json.loads((place / reading.MANIFEST).read_text())["preflight"]
    assert stated["kind"] == "not_preflighted"
    assert stated["because"].startswith(because)
    assert not (place / reading.PREFLIGHT).exists()
    assert "preflight" not in {claim.id for claim in report.report(place, verify(place)).claims}
