"""``assay preflight``: progress on standard error, the report on standard output, the answer in the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay import preflight
from assay.cli import main
from evidence import job_folder, preflight_folder, rundir
from evidence.spec import resolve
from tests.preflight_job import NO_LIBTPU
from tests.runs import CONFIG, ROOT, config_text, wait_for

JOB = (sys.executable, "-m", "tests.preflight_job")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(config_text(CONFIG))
    return path


def run(config: Path, overrides: dict[str, Any] | None = None, topology: str = "v5e-8", **options: Any) -> int:
    """``assay preflight`` with the stand-in job, its answers kept beside the config."""
    asked = {name: options.pop(name, False) for name in ("search", "largest")}
    request = preflight.ask(config, overrides or {}, topology, **asked)
    return preflight.run(request, config.parent / "preflights", command=JOB, **options)


def test_a_run_that_fits_exits_with_0_and_is_told_in_text(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, search=True, largest=True) == 0
    said = capsys.readouterr()
    assert said.out.startswith("Fits on v5e-8 (8 × TPU v5 lite): ")
    for part in ("limit 15.75 GiB", "an estimate and not a speed", "Plans tried", "→", "refused: ", "Largest batch",
                 "all-reduce", "numpy"):  # fmt: skip
        assert part in said.out
    assert "compiling fsdp, remat none, unrolled" in said.err
    assert max(map(len, said.out.splitlines())) < 320


def test_a_run_that_does_not_fit_exits_with_1_and_shows_the_compilers_message(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, {"model.vocab_size": 256_000, "training.batch_size": 2**17}) == 1
    said = capsys.readouterr().out
    assert said.startswith("Does not fit on v5e-8")
    assert "  RESOURCE_EXHAUSTED: XLA:TPU compile permanent error." in said
    assert "What would make it fit" in said


@pytest.mark.parametrize(("name", "reason"), [("broken", NO_LIBTPU), ("crash", "killed by SIGABRT")])
def test_what_cannot_be_said_exits_with_2_and_the_reason(
    config: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    assert run(config, {"name": name}) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert reason in said.err
    assert "Error: " in said.err


def test_json_is_the_report_and_nothing_else_and_a_file_is_the_same(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = config.parent / "report.json"
    assert run(config, as_json=True, save=saved) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(saved.read_text())
    assert printed["schema"] == "assay/preflight@1"


def test_a_known_answer_is_told_without_compiling_again(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config) == run(config, {"training.steps": 9}) == 0
    assert "Known since" in capsys.readouterr().err
    assert len(job_folder.folders(config.parent / "preflights")) == 1
    assert run(config, fresh=True) == 0
    assert len(job_folder.folders(config.parent / "preflights")) == 2


def test_a_report_that_cannot_be_saved_is_said(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, save=config.parent / "no" / "where.json") == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_an_interrupt_takes_the_job_with_it(config: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from assay import preflight\n"
        "config = Path(sys.argv[1]); request = preflight.ask(config, {'name': 'slow'}, 'v5e-8')\n"
        "preflight.run(request, config.parent / 'preflights', command=(sys.executable, '-m', 'tests.preflight_job'))"
    )
    asking = subprocess.Popen(
        [sys.executable, "-c", code, str(config)], cwd=ROOT, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    root = config.parent / "preflights"
    wait_for(lambda: any(job_folder.progress(folder) for folder in job_folder.folders(root)))
    [folder] = job_folder.folders(root)
    job = rundir.read_document(folder / rundir.LAUNCH)["process"]["pid"]
    asking.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in asking.communicate()[1]
    assert preflight_folder.KIND.standing(folder).state == "cancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(job, 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone.yaml", "--topology", "v5e-8"], "gone.yaml: No such file or directory"),
        (["smoke_tiny", "--topology", "v9"], "topology must be one of v2-8, v3-8"),
        (["smoke_tiny", "--topology", "v5e-8", "--set", "training.steps=0"], "training.steps must be at least 1"),
        (["smoke_tiny", "--topology", "v5e-8", "--set", "training.steps"], "--set takes KEY=VALUE"),
    ],
)
def test_bad_input_is_one_sentence_and_starts_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    assert main(["preflight", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_the_same_step_finds_the_newest_report(config: Path) -> None:
    assert run(config) == run(config, topology="v3-8") == run(config, {"training.batch_size": 16}) == 0
    root = config.parent / "preflights"
    spec, _ = resolve(CONFIG, {"training.steps": 9, "data.eval_rows": 5})
    found = preflight_folder.newest_for(root, spec)
    assert found
    assert preflight_folder.read_report(found).target.name == "v3-8"
    other, _ = resolve(CONFIG, {"training.sequence_length": 64})
    assert preflight_folder.newest_for(root, other) is None


def test_a_run_with_a_plan_that_the_search_tried_finds_it_too(config: Path) -> None:
    assert run(config, search=True) == 0
    spec, _ = resolve(CONFIG, {"plan.layout": "fsdp", "plan.layers": "scanned"})
    assert preflight_folder.newest_for(config.parent / "preflights", spec)
