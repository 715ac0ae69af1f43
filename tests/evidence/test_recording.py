"""The recorder: whatever ends a run, the folder says how."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evidence import events, record, rundir
from evidence.status import Status, status
from tests import runs
from tests.runs import wait_for


def last_word(run: Path) -> events.Finished | None:
    lines, _ = rundir.whole_lines(run / rundir.EVENTS, 0)
    found = [event for event in map(events.decode, lines) if isinstance(event, events.Finished)]
    return found[-1] if found else None


def state(run: Path) -> Status:
    return status(run, last_word(run))


def trainer_pid(run: Path) -> int:
    wait_for(lambda: (run / rundir.PROCESS).exists())
    return int(json.loads((run / rundir.PROCESS).read_text())["pid"])


@pytest.fixture
def slow_run(tmp_path: Path) -> Path:
    """A run that goes on for a minute unless somebody ends it."""
    run = runs.new_run(tmp_path, {"training.steps": 1000})
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.05"])
    wait_for(lambda: b'"kind":"step"' in runs.log_of(run))
    return run


def test_a_run_that_was_never_launched_is_queued(tmp_path: Path) -> None:
    assert status(runs.new_run(tmp_path), None).state == "queued"


def test_a_finished_run_says_so(ended_run: Path) -> None:
    found = state(ended_run)
    assert (found.state, found.exit_code, found.reason) == ("finished", 0, "")
    assert found.started_at < found.ended_at


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["sh", "-c", "exit 3"], "The trainer ended with exit code 3 and said nothing."),
        (["sh", "-c", "echo 'ValueError: bad thing' >&2; exit 1"], "ValueError: bad thing"),
        (["sh", "-c", "kill -9 $$"], runs.KILLED),
        (["/no/such/program"], "Error: cannot start /no/such/program: No such file or directory"),
    ],
)
def test_a_failed_run_says_why(tmp_path: Path, command: list[str], reason: str) -> None:
    run = runs.new_run(tmp_path)
    assert runs.record(run, command) != 0
    found = status(run, None)
    assert (found.state, found.reason) == ("failed", reason)


def test_a_killed_trainer_is_failed(slow_run: Path) -> None:
    assert state(slow_run).state == "running"
    os.kill(trainer_pid(slow_run), signal.SIGKILL)
    wait_for(lambda: state(slow_run).state != "running")
    assert state(slow_run).reason == runs.KILLED


def test_a_stopped_run_saves_and_is_stopped(slow_run: Path) -> None:
    assert record.request_stop(slow_run)
    wait_for(lambda: state(slow_run).state not in ("running", "stopping"))
    word = last_word(slow_run)
    assert word is not None
    assert state(slow_run).state == "stopped"
    assert state(slow_run).reason == f"Stopped on request after step {word.step}."
    assert (slow_run / "checkpoints" / f"step_{word.step:06}").is_dir()


def test_a_trainer_that_ignores_the_stop_is_killed_after_the_grace_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_STOP_GRACE", "0.2")
    run = runs.new_run(tmp_path)
    record.launch(run, ["sh", "-c", "trap '' TERM; echo up; while true; do sleep 0.05; done"])
    wait_for(lambda: (run / rundir.OUTPUT).exists() and b"up" in (run / rundir.OUTPUT).read_bytes())
    assert record.request_stop(run)
    wait_for(lambda: (run / rundir.EXIT).exists())
    assert state(run).state == "stopped"


def test_a_run_is_launched_once(ended_run: Path) -> None:
    before = (ended_run / rundir.LAUNCH).read_bytes()
    assert runs.record(ended_run) == 2
    assert (ended_run / rundir.LAUNCH).read_bytes() == before


def test_the_trainer_does_not_get_the_servers_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    run = runs.new_run(tmp_path)
    assert runs.record(run, ["sh", "-c", 'echo "[$AWS_SECRET_ACCESS_KEY]"; test ${#HF_TOKEN} = 10']) == 0
    assert (run / rundir.OUTPUT).read_text() == "[]\n"
    recorded = "".join(path.read_text() for path in run.iterdir() if path.is_file())
    assert "planted" not in recorded


def test_the_launch_names_commit_host_and_packages(ended_run: Path) -> None:
    launch = rundir.read_document(ended_run / rundir.LAUNCH)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=runs.ROOT, capture_output=True, text=True).stdout.strip()
    assert launch["source"]["commit"] == head
    assert launch["host"]["logical_cpus"] >= 1
    assert any(item.startswith("numpy==") for item in launch["packages"])
    assert launch["python"] == sys.version.split()[0]
