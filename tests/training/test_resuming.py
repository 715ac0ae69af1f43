"""A run that was cut off goes on, and its rows are those of a run that never was."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evidence import attempts, events, rundir

from .conftest import REPOSITORY, events_of, new_run, run_trainer, spec_with

SPEC = spec_with(
    training__steps=120, checkpoints__every_steps=20, checkpoints__keep=3, evaluation__max_new_tokens=4,
    evaluation__every_steps=60,
)  # fmt: skip
FACTS = ("step", "epoch", "loss", "grad_norm", "param_norm", "learning_rate", "examples", "tokens",
         "supervised_tokens", "batch_sha256")  # fmt: skip


def rows_of(run: Path) -> list[events.Step]:
    """What stands, after all attempts."""
    said = attempts.standing((event, event) for event in events_of(run))
    return [event for event, _ in said if isinstance(event, events.Step)]


def facts_of(run: Path) -> list[tuple[object, ...]]:
    return [tuple(getattr(row, name) for name in FACTS) for row in rows_of(run)]


def of(run: Path, kind: type[events.Event]) -> list:
    return [event for event in events_of(run) if isinstance(event, kind)]


def cut_off(run: Path, number: int, after: int, first: str, environment: dict[str, str] | None = None) -> int:
    """Train, and send signal ``number`` as soon as ``after`` lines came behind one that begins with ``first``."""
    with subprocess.Popen(
        [sys.executable, "-m", "training", str(run)], cwd=REPOSITORY, env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        for line in process.stdout:
            if line.startswith(first):
                break
        for _, _ in zip(range(after), process.stdout, strict=False):
            pass
        process.send_signal(number)
        process.stdout.read()
    return process.returncode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = new_run(tmp_path_factory.mktemp("whole"), SPEC)
    ended = run_trainer(run)
    assert ended.returncode == 0, ended.stderr
    return run


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose trainer was killed at a moment nobody chose, some time after its second checkpoint. Copy it."""
    run = new_run(tmp_path_factory.mktemp("killed"), SPEC)
    moment = random.SystemRandom().randrange(40)
    assert cut_off(run, signal.SIGKILL, moment, "saved step 40") == -signal.SIGKILL, f"after {moment} lines"
    assert 40 <= rows_of(run)[-1].step < 120, f"after {moment} lines"
    return run


@pytest.fixture
def copy(killed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(killed, tmp_path / killed.name))


def test_a_killed_run_goes_on_to_the_rows_of_an_uninterrupted_one(uninterrupted: Path, copy: Path) -> None:
    with (copy / rundir.EVENTS).open("ab") as stream:
        stream.write(b'{"kind":"step","half')  # as a full disk would leave it
    ended = run_trainer(copy)
    assert ended.returncode == 0, ended.stderr
    assert facts_of(copy) == facts_of(uninterrupted)
    resumed = of(copy, events.Resumed)
    assert [(item.attempt, item.step) for item in resumed] == [(2, resumed[0].step)]
    assert resumed[0].step >= 40
    rows = {row.step: row for row in rows_of(copy)}
    assert resumed[0].chain_at_step == rows[resumed[0].step].hash == rows[resumed[0].step + 1].prev
    assert all(after.prev == before.hash for before, after in zip(rows_of(copy), rows_of(copy)[1:], strict=False))
    assert of(copy, events.Warning) == []
    evaluated = {item.step: (item.loss, item.correct, item.predictions.sha256) for item in of(copy, events.Evaluation)}
    assert evaluated == {
        item.step: (item.loss, item.correct, item.predictions.sha256) for item in of(uninterrupted, events.Evaluation)
    }
    saved = {item.step: item.parameters_digest for item in of(uninterrupted, events.Checkpoint)}
    assert of(copy, events.Checkpoint)[-1].parameters_digest == saved[120]
    folders = sorted(path.name for path in (copy / "checkpoints").iterdir() if path.is_dir())
    assert folders == ["step_000000", "step_000080", "step_000100", "step_000120"]


def test_a_run_goes_on_upon_another_number_of_devices(uninterrupted: Path, copy: Path) -> None:
    ended = run_trainer(copy, XLA_FLAGS="--xla_force_host_platform_device_count=8")
    assert ended.returncode == 0, ended.stderr
    assert of(copy, events.Devices)[-1].devices_used == 8
    assert of(copy, events.Warning) == []
    for ours, theirs in zip(rows_of(copy), rows_of(uninterrupted), strict=True):
        assert ours.batch_sha256 == theirs.batch_sha256
        assert (ours.loss, ours.grad_norm, ours.param_norm) == pytest.approx(
            (theirs.loss, theirs.grad_norm, theirs.param_norm), rel=1e-4
        )


def test_broken_states_and_rows_that_differ_are_named_and_the_state_before_is_used(
    uninterrupted: Path, copy: Path
) -> None:
    saved = of(copy, events.Checkpoint)
    for item, harm in zip(reversed(saved), ("bytes", "leaves"), strict=False):
        if harm == "bytes":
            largest = max((copy / item.path).rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
            data = bytearray(largest.read_bytes())
            data[len(data) // 2] ^= 1
            largest.write_bytes(data)
        else:
            (copy / item.leaves.path).unlink()
    again = saved[-3].step + 1
    log = (copy / rundir.EVENTS).read_text()
    loss = next(row.loss for row in rows_of(copy) if row.step == again)
    (copy / rundir.EVENTS).write_text(log.replace(f'"loss":{loss!r},', f'"loss":{loss * 1.001!r},'))
    ended = run_trainer(copy)
    assert ended.returncode == 0, ended.stderr
    warnings = of(copy, events.Warning)
    assert [item.code for item in warnings] == ["broken_checkpoint", "broken_checkpoint", "step_differs"]
    assert warnings[2].message.startswith(
        f"step {again} was done before with loss {loss * 1.001!r} and now gave {loss!r};"
    )
    assert f"the state of step {saved[-1].step} is left out: the files in " in warnings[0].message
    assert "is not there" in warnings[1].message
    assert of(copy, events.Resumed)[0].step == saved[-3].step
    assert facts_of(copy) == facts_of(uninterrupted)


def test_a_run_told_to_stop_twice_goes_on_to_the_same_rows(uninterrupted: Path, tmp_path: Path) -> None:
    run = new_run(tmp_path, SPEC)
    with subprocess.Popen(
        [sys.executable, "-m", "training", str(run)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        wanted, told = f"step {random.SystemRandom().randrange(1, 15)}/", False
        for line in process.stdout:
            if line.startswith(wanted) or (told and line.startswith("saving")):
                process.send_signal(signal.SIGTERM)
                told = True
    assert process.returncode == 75
    assert of(run, events.Finished)[0].outcome == "stopped"
    assert of(run, events.Checkpoint)[-1].step == rows_of(run)[-1].step < 120
    assert run_trainer(run).returncode == 0
    assert facts_of(run) == facts_of(uninterrupted)
    assert [row.step for row in of(run, events.Step)] == list(range(1, 121))  # none was done twice


def test_a_signal_before_jax_is_there_ends_in_a_saved_state(tmp_path: Path) -> None:
    run = new_run(tmp_path, SPEC)
    assert cut_off(run, signal.SIGTERM, 0, "loading") == 75
    assert [item.step for item in of(run, events.Checkpoint)] == [0]
    assert of(run, events.Step) == []


def test_a_run_of_another_spec_is_refused(copy: Path) -> None:
    document = rundir.read_document(copy / rundir.SPEC)
    document["spec"]["training"]["seed"] = 9
    rundir.write_document(copy / rundir.SPEC, document)
    ended = run_trainer(copy)
    assert ended.returncode == 2
    assert "began with the spec of digest" in ended.stderr.splitlines()[-1]


def test_changed_data_are_refused_and_the_run_s_own_are_kept(copy: Path) -> None:
    place = copy / "data/train.jsonl"
    place.write_bytes(place.read_bytes() + b"\n")
    kept = place.read_bytes()
    ended = run_trainer(copy)
    assert ended.returncode == 2
    assert "changed since the run began; restore them, or start a new run" in ended.stderr.splitlines()[-1]
    assert place.read_bytes() == kept
