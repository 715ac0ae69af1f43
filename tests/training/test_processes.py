"""Several processes train one run: they compute what one computes, stop together, and miss each other."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evidence import attempts, canonical, events, rundir
from tests import runs
from training import peers
from training.errors import GroupError

from .conftest import REPOSITORY, events_of, new_run, run_trainer, spec_with

SPEC = spec_with(
    training__steps=16, checkpoints__every_steps=8, checkpoints__keep=3, evaluation__max_new_tokens=2,
    evaluation__samples=1,
)  # fmt: skip
LONG = spec_with(training__steps=100_000, evaluation__max_new_tokens=2)
FOUR_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
ONE_DEVICE = {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}


def rows_of(run: Path) -> list[events.Step]:
    said = attempts.standing((event, event) for event in events_of(run))
    return [event for event, _ in said if isinstance(event, events.Step)]


def of(run: Path, kind: type[events.Event]) -> list:
    return [event for event in events_of(run) if isinstance(event, kind)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def start(run: Path, group: peers.Group) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "training", str(run)],
        cwd=REPOSITORY,
        env={**os.environ, **ONE_DEVICE, **peers.environment(group)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def two(run: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Both processes of a run that has taken a step; none is left behind."""
    address = f"127.0.0.1:{free_port()}"
    processes = [start(run, peers.Group(address, 2, number)) for number in range(2)]
    try:
        runs.wait_for(lambda: b'"kind":"step"' in runs.log_of(run), 200)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes with four devices each, to the end."""
    run = new_run(tmp_path_factory.mktemp("together"), SPEC)
    ended = run_trainer(run, "--processes", "2", **FOUR_DEVICES)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return run


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process with eight devices, to the end."""
    run = new_run(tmp_path_factory.mktemp("alone"), SPEC)
    ended = run_trainer(run, XLA_FLAGS="--xla_force_host_platform_device_count=8")
    assert ended.returncode == 0, ended.stderr
    return run


def test_two_processes_with_four_devices_lose_what_one_with_eight_loses(together: Path, alone: Path) -> None:
    for ours, theirs in zip(rows_of(together), rows_of(alone), strict=True):
        assert ours.batch_sha256 == theirs.batch_sha256
        assert (ours.loss, ours.grad_norm) == pytest.approx((theirs.loss, theirs.grad_norm), rel=1e-5)
    assert of(together, events.Evaluation)[0].loss == pytest.approx(of(alone, events.Evaluation)[0].loss, rel=1e-5)
    devices = of(together, events.Devices)[0]
    assert (devices.process_count, devices.devices_used) == (2, 8)
    assert [item["process_index"] for item in devices.devices] == [0] * 4 + [1] * 4


def test_the_first_process_alone_writes_the_run_s_files(together: Path, alone: Path) -> None:
    assert [type(event) for event in events_of(together)] == [type(event) for event in events_of(alone)]
    names = {path.relative_to(together).as_posix() for path in together.rglob("*") if path.is_file()}
    theirs = {path.relative_to(alone).as_posix() for path in alone.rglob("*") if path.is_file()}
    assert {name for name in names ^ theirs if not name.startswith("checkpoints/step_0000")} == {"output.1.log"}
    assert "step 16/16 loss" in (together / "output.1.log").read_text()


def test_states_of_two_processes_are_those_of_one(together: Path, alone: Path) -> None:
    ours, theirs = of(together, events.Checkpoint), of(alone, events.Checkpoint)
    assert [item.step for item in ours] == [item.step for item in theirs] == [0, 8, 16]
    assert (ours[0].parameters_digest, ours[0].optimizer_digest) == (
        theirs[0].parameters_digest, theirs[0].optimizer_digest,
    )  # fmt: skip
    norms = [
        {leaf["path"]: leaf["l2"] for leaf in canonical.read(run / ours[2].leaves.path)["leaves"]}
        for run in (together, alone)
    ]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_one_is_told_to_stop_and_all_stop_with_a_saved_state_that_one_goes_on_from(tmp_path: Path) -> None:
    run = new_run(tmp_path, LONG)
    with two(run) as processes:
        processes[1].send_signal(signal.SIGTERM)
        for process in processes:
            process.communicate(timeout=100)
        assert [process.returncode for process in processes] == [75, 75]
    finished, saved = of(run, events.Finished)[0], of(run, events.Checkpoint)[-1]
    assert (finished.outcome, finished.step) == ("stopped", saved.step)
    assert rows_of(run)[-1].step == saved.step
    with subprocess.Popen(
        [sys.executable, "-m", "training", str(run)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as again:
        assert again.stdout
        for line in again.stdout:
            if line.startswith(f"step {saved.step + 3}/"):
                again.send_signal(signal.SIGTERM)
                break
        again.stdout.read()
    assert again.returncode == 75
    rows = rows_of(run)
    assert [row.step for row in rows] == list(range(1, len(rows) + 1))
    assert rows[saved.step].prev == saved.chain_at_step
    assert rows[saved.step].loss == pytest.approx(rows[saved.step - 1].loss, rel=0.2)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_is_named_by_those_who_are_left(tmp_path: Path, victim: int) -> None:
    run = new_run(tmp_path, LONG)
    with two(run) as processes:
        processes[victim].kill()
        began = time.monotonic()
        processes[1 - victim].wait(timeout=60)
        assert time.monotonic() - began < 10
        assert processes[1 - victim].returncode == 1
    sentence = f"process {victim} is gone: it was killed, or its machine cannot be reached; 2 processes train this run"
    if victim:
        last = of(run, events.Finished)[0]
        assert (last.outcome, last.error_type) == ("failed", "PeerError")
        assert last.error_message.startswith(sentence)
    else:
        assert f"error: {sentence}" in (run / "output.1.log").read_text()


def test_a_member_killed_under_its_command_ends_all_and_is_named(tmp_path: Path) -> None:
    run = new_run(tmp_path, LONG)
    command = [sys.executable, "-m", "training", str(run), "--processes", "2"]
    with subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **ONE_DEVICE}, stdout=subprocess.PIPE) as parent:
        runs.wait_for(lambda: b'"kind":"step"' in runs.log_of(run), 200)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        second = next(pid for pid in children if b"ASSAY_PROCESS=1" in Path(f"/proc/{pid}/environ").read_bytes())
        os.kill(int(second), signal.SIGKILL)
        printed, _ = parent.communicate(timeout=100)
    assert parent.returncode == 1
    assert b"error: process 1 of 2 was killed by SIGKILL" in printed
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_a_taken_address_is_named_before_anything_is_started(tmp_path: Path) -> None:
    run = new_run(tmp_path, SPEC)
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(run, peers.Group(f"127.0.0.1:{port}", 2, 0))
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 69
    assert printed == (
        f"error: process 0 cannot listen at 127.0.0.1:{port} (Address already in use); "
        "name another port in ASSAY_COORDINATOR\n"
    )
    assert not (run / rundir.EVENTS).exists()


ON_PORTS = """
import sys
from pathlib import Path
from training import group
free, ports = group._free_port, iter(sys.argv[2:])
group._free_port, group.TRIES = lambda: int(next(ports, 0)) or free(), 2
sys.exit(group.run(Path(sys.argv[1]), 2, []))
"""
"""Trains a run in two processes whose first one listens at these ports, then at free ones."""


@pytest.mark.parametrize("taken_ports", [1, 2])
def test_a_port_that_was_taken_meanwhile_is_given_up_for_another(tmp_path: Path, taken_ports: int) -> None:
    run = new_run(tmp_path, SPEC)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = taken_ports * [str(taken.getsockname()[1])]
        with subprocess.Popen(
            [sys.executable, "-c", ON_PORTS, str(run), *ports], cwd=REPOSITORY, env={**os.environ, **ONE_DEVICE},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as command:  # fmt: skip
            runs.wait_for(lambda: b'"kind":"run_start"' in runs.log_of(run) or command.poll() is not None)
            command.kill()  # and its processes end with it
            printed, _ = command.communicate(timeout=60)
    refused, _, after = printed.partition("(Address already in use); name another port in ASSAY_COORDINATOR\n")
    assert refused
    assert "trying another port\n" in after  # whatever the other process says of it in between
    if taken_ports == 1:
        assert "giving up" not in printed
        assert b'"kind":"run_start"' in runs.log_of(run)
    else:
        assert command.returncode == 69
        assert printed.endswith("giving up after 2 ports that were taken\n")
        assert not (run / rundir.EVENTS).exists()


@pytest.mark.parametrize(("process", "whom"), [(0, "all of the processes 1"), (1, "process 0")])
def test_a_process_that_waits_in_vain_says_for_whom(tmp_path: Path, process: int, whom: str) -> None:
    run = new_run(tmp_path, SPEC)
    waiting = start(run, peers.Group(f"127.0.0.1:{free_port()}", 2, process, join_seconds=6))
    printed, _ = waiting.communicate(timeout=100)
    said = printed if not process else (run / "output.1.log").read_text()
    assert waiting.returncode == 1
    assert f"error: process {process} waited 6 s for {whom} at 127.0.0.1:" in said


GROUP = {"ASSAY_COORDINATOR": "host:1234", "ASSAY_PROCESSES": "2", "ASSAY_PROCESS": "1"}


def test_a_group_comes_back_from_its_variables() -> None:
    group = peers.Group("host:1234", 2, 1, 30)
    assert peers.asked(peers.environment(group)) == group
    assert peers.asked({}) is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ASSAY_PROCESS": ""}, "ASSAY_PROCESS must be set too, since ASSAY_COORDINATOR, ASSAY_PROCESSES is"),
        ({"ASSAY_COORDINATOR": "host"}, "ASSAY_COORDINATOR must be host:port, got 'host'"),
        ({"ASSAY_PROCESS": "2"}, "ASSAY_PROCESS must be a number from 0 to ASSAY_PROCESSES - 1, got '2' of '2'"),
        ({"ASSAY_PROCESSES": "two"}, "got '1' of 'two'"),
        ({"ASSAY_JOIN_SECONDS": "soon"}, "ASSAY_JOIN_SECONDS must be a whole number of seconds, got 'soon'"),
    ],
)
def test_a_group_that_cannot_be_is_refused(change: dict[str, str], sentence: str) -> None:
    with pytest.raises(GroupError) as refused:
        peers.asked({**GROUP, **change})
    assert sentence in str(refused.value)
