"""A rehearsal says first that it is one, in what it differs from the submission, and cannot be dressed up as it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evidence import bundle, reading, rehearsal, report, rundir
from evidence.spec import SpecError
from evidence.verify import verify
from tests import runs
from tests.evidence import rehearsals, tamper
from tests.evidence.tamper import Change, edit_json, edit_text, set_value

DOCUMENT = rehearsal.DOCUMENT


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the stand-in trainer that rehearses a submission for a TPU, whose step two topologies' compilers saw."""
    return rehearsals.run(tmp_path_factory.mktemp("rehearsal"))


@pytest.fixture(scope="module")
def sealed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle. Never change it: take a copy."""
    return bundle.seal(run, tmp_path_factory.mktemp("bundles"), "m1")


def test_it_says_first_what_it_is_and_what_is_left(sealed: Path) -> None:
    verdict = verify(sealed)
    assert verdict.failures == ()
    told = report.report(sealed, verdict)
    assert told.sentence.startswith(
        "A rehearsal on CPU of submission_tiny, not the submission: the run on the TPU is the one step left "
        "(assay launch submission_tiny --launcher kaggle --name m1)."
    )
    readme = (sealed / reading.README).read_text()
    assert readme.index("A rehearsal on CPU") < readme.index("## What this rehearses") < readme.index("## What ran")
    assert "| `training.steps` | `200` | `30` |" in readme
    assert "| `device` | `tpu` | `auto` |" in readme
    assert "- v5e-8: fits, " in readme
    assert "- v3-8: fits, " in readme
    claim = next(claim for claim in told.claims if claim.id == "rehearsal")
    assert (claim.verdict, claim.proofs[0].file) == ("holds", DOCUMENT)


def test_differences_are_every_setting_that_changes_the_run(sealed: Path) -> None:
    told = reading.Bundle(sealed).rehearsal
    assert told
    found = {item.key: (item.submission, item.rehearsal) for item in told.differences}
    assert found == {"device": ("tpu", "auto"), "training.steps": (200, 30), "model.hidden_size": (32, 16)}
    assert [item.topology for item in told.preflights] == ["v3-8", "v5e-8"]


def test_sealing_twice_gives_the_same_bytes(run: Path, sealed: Path, tmp_path: Path) -> None:
    again = bundle.seal(run, tmp_path, "m1")
    assert (again / reading.SUMS).read_bytes() == (sealed / reading.SUMS).read_bytes()


def test_only_a_real_run_takes_its_place_and_only_when_told(run: Path, sealed: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(sealed, tmp_path / "m1"))
    real = runs.new_run(tmp_path / "runs", {"training.steps": 20})
    assert runs.record(real) == 0
    other = runs.new_run(tmp_path / "runs", {"training.steps": 30})
    assert runs.record(other) == 0
    early = runs.new_run(tmp_path / "runs", {"training.steps": 20})
    assert runs.record(early, [*runs.STAND_IN, str(early), "--fail-at", "3"]) != 0
    # As if the rehearsed submission were one that the stand-in trainer can run.
    set_value(DOCUMENT, "spec_sha256", rundir.read_ask(real).spec_sha256)(place)
    with pytest.raises(bundle.NameTaken, match="let this take its place: --replace-rehearsal"):
        bundle.seal(real, tmp_path, "m1")
    with pytest.raises(bundle.NameTaken, match="this run is one too"):
        bundle.seal(run, tmp_path, "m1", replace_rehearsal=True)
    with pytest.raises(bundle.NameTaken, match="a rehearsal of something else than this run"):
        bundle.seal(other, tmp_path, "m1", replace_rehearsal=True)
    with pytest.raises(bundle.NameTaken, match="a run that is failed does not replace it"):
        bundle.seal(early, tmp_path, "m1", replace_rehearsal=True)
    assert reading.Bundle(place).rehearsal
    bundle.seal(real, tmp_path, "m1", replace_rehearsal=True)
    assert not reading.Bundle(place).rehearsal
    assert verify(place).valid
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "m1"))) == ["m1"]
    with pytest.raises(bundle.NameTaken, match="there is a bundle named m1 already"):
        bundle.seal(run, tmp_path, "m1", replace_rehearsal=True)


FORGED: list[tuple[str, Change, str]] = [
    ("a difference that is kept quiet", edit_json(DOCUMENT, lambda d: d["differences"].pop(0) and None), "RHS-01"),
    ("a difference that is played down", set_value(DOCUMENT, "differences.1.submission", 31), "RHS-01"),
    ("another submission", edit_json(rehearsal.DECLARED_JSON, lambda d: d["training"].update(steps=30)), "RHS-01"),
    ("another config's text", edit_text(rehearsal.DECLARED, "steps: 200", "steps: 201"), "RHS-05"),
    ("another spec", set_value(DOCUMENT, "spec_sha256", "ab" * 32), "RHS-01"),
    ("a declared file that is elsewhere", set_value(DOCUMENT, "declared.path", "config/declared.yaml"), "RHS-01"),
    ("less memory", set_value(DOCUMENT, "preflights.0.peak_bytes", 1), "RHS-02"),
    ("no longer fitting", set_value(DOCUMENT, "preflights.0.fits", False), "RHS-02"),
    ("another topology", set_value(DOCUMENT, "preflights.0.topology", "v6e-8"), "RHS-02"),
    ("a report that contradicts itself", set_value("rehearsal/preflight_v5e-8.json", "target.devices", 4), "RHS-02"),
    ("a report about another step",
     edit_json("rehearsal/preflight_v5e-8.json", lambda d: d["program"].update({"model.hidden_size": 64})), "RHS-02"),
    ("no words about it", lambda f: (f / DOCUMENT).unlink(), "STR-05"),
    ("a null", set_value(DOCUMENT, "config", None), "SCH-07"),
    ("a placeholder", set_value(DOCUMENT, "config", "TODO"), "SCH-07"),
    ("a key that nobody asked for", edit_json(DOCUMENT, lambda d: d.update(proof="a real TPU")), "SCH-07"),
    ("a report beside it that is not pointed at",
     lambda f: shutil.copyfile(f / "rehearsal/preflight_v5e-8.json", f / "rehearsal/preflight_v4-8.json") and None, "STR-05"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "check"), [item[1:] for item in FORGED], ids=[item[0] for item in FORGED])
def test_a_rehearsal_that_is_dressed_up_is_caught(sealed: Path, tmp_path: Path, change: Change, check: str) -> None:
    folder = Path(shutil.copytree(sealed, tmp_path / "m1"))
    change(folder)
    tamper.reseal(folder)
    found = {result.id for result in verify(folder).failures}
    assert check in found
    assert not found & {"INT-01", "INT-03"}


def test_what_ran_where_the_submission_is_to_run_is_no_rehearsal(tmp_path: Path) -> None:
    path = rehearsals.submission(tmp_path)
    text = path.read_text().replace("device: tpu", "device: cpu")
    rehearsed = rundir.Rehearsed("submission_tiny.yaml", {"declared.yaml": text.encode()})
    run = runs.new_run(tmp_path / "runs", {"training.steps": 30}, name="m1", rehearsed=rehearsed)
    assert runs.record(run) == 0
    with pytest.raises(bundle.SealRefused, match="expected no rehearsal, since this ran on a cpu"):
        bundle.seal(run, tmp_path, "m1")


def test_a_report_about_another_step_is_not_taken(tmp_path: Path) -> None:
    path = rehearsals.submission(tmp_path)
    runs.preflight_report(tmp_path / "preflights", {**rehearsals.SUBMISSION, "training.batch_size": 4})
    assert set(rehearsal.asked(path, "x.yaml", tmp_path / "preflights").files) == {"declared.yaml"}


def test_a_config_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: x\nsteps: 3\n")
    with pytest.raises(SpecError, match="steps"):
        rehearsal.asked(tmp_path / "x.yaml", "x.yaml", tmp_path / "preflights")
