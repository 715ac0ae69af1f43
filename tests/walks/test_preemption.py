"""Preempted, killed, resumed, sealed: `assay train` with the real trainer, without a server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from evidence import attempts, events, rundir
from evidence.verify import verify
from tests import runs

ASSAY = [sys.executable, "-c", "import sys; from assay.cli import main; sys.exit(main())"]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "ASSAY_HOME": str(home), "ASSAY_SUBMISSIONS": str(home / "bundles")}


def assay(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ASSAY, *words], cwd=runs.ROOT, env=environment(home), capture_output=True, text=True)


def started(home: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*ASSAY, *words],
        cwd=runs.ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_that_is_preempted_and_killed_ends_as_one_run_with_evidence(tmp_path: Path) -> None:
    settings = (
        "--steps",
        "1000",
        "--device",
        "cpu",
        "--set",
        "checkpoints.every_steps=100",
        "--set",
        "checkpoints.keep=99",
    )
    first = started(tmp_path, "train", "smoke_tiny", *settings)
    runs.wait_for(lambda: rundir.folders(tmp_path / "runs"), 240)
    run = rundir.folders(tmp_path / "runs")[0]
    runs.wait_for(lambda: b'"kind":"step"' in runs.log_of(run), 240)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate()
    assert first.returncode == 75
    assert f"Go on with: assay train --resume {run}" in said

    second = started(tmp_path, "train", "--resume", run.name)
    stopped_at = attempts.facts(attempts.told(run)).last_step
    runs.wait_for(lambda: attempts.facts(attempts.told(run)).last_step > max(stopped_at, 100), 240)
    runs.kill_trainer(run)
    _, said = second.communicate()
    assert (second.returncode, f"Failed: {runs.KILLED}" in said) == (1, True)

    third = assay(tmp_path, "train", "--resume", run.name)
    assert third.returncode == 0, third.stderr
    assert "attempt 3 goes on after step" in third.stdout
    again = assay(tmp_path, "train", "--resume", run.name)
    assert (again.returncode, again.stderr) == (2, f"Error: run {run.name} is finished: all 1,000 steps are done\n")

    sealed = assay(tmp_path, "seal", run.name, "--name", "thrice")
    assert sealed.returncode == 0, sealed.stdout + sealed.stderr
    verdict = verify(tmp_path / "bundles" / "thrice")
    document = json.loads((tmp_path / "bundles" / "thrice" / "run_manifest.json").read_text())
    assert verdict.level == ("E2" if document["source"]["clean"] else "E1")
    assert [item["ended"] for item in document["attempts"]] == ["stopped", "cut_off", "completed"]
    assert not [event for event in attempts.told(run) if isinstance(event, events.Warning)]


def test_what_makes_no_sense_with_resume_is_said(tmp_path: Path) -> None:
    both = assay(tmp_path, "train", "smoke_tiny", "--resume", "x")
    assert (both.returncode, "give one of them" in both.stderr) == (2, True)
    more = assay(tmp_path, "train", "--resume", "x", "--steps", "5")
    assert (more.returncode, "so --steps cannot be given with --resume" in more.stderr) == (2, True)
    nowhere = assay(tmp_path, "train", "--resume", "20260101-000000-abcdef")
    assert (nowhere.returncode, "is not a run that can be resumed: No such file" in nowhere.stderr) == (2, True)
