"""Recorders and trainers that are killed, stubborn, or leave something behind: what the folder then says is true."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evidence import attempts, bundle, events, memory, processes, record, rundir, system
from evidence.status import Status, killed, status
from evidence.verify import verify
from tests import runs
from tests.runs import wait_for

GROUPS = Path("/sys/fs/cgroup/memory")
UNKNOWN = "Ended; its exit code is unknown, because its recorder was gone by then. What it wrote is kept."


def state(run: Path) -> Status:
    return status(run, attempts.last(attempts.told(run), events.Finished))


def recorder(run: Path) -> processes.Identity:
    return dict(rundir.read_document(run / rundir.LAUNCH)["recorder"])


def trainer(run: Path) -> processes.Identity:
    return rundir.read_document(run / rundir.PROCESS)


def kill_recorder(run: Path) -> None:
    known = recorder(run)
    assert processes.send(known, signal.SIGKILL)
    assert processes.wait(known, 10)


def begun(tmp_path: Path, *words: str) -> Path:
    """A run whose trainer is a shell, and has said "up"."""
    run = runs.new_run(tmp_path)
    record.launch(run, ["sh", "-c", *words])
    wait_for(lambda: (run / rundir.OUTPUT).exists() and b"up" in (run / rundir.OUTPUT).read_bytes())
    return run


def number_in(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_STOP_GRACE", "0.3")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Path]:
    """A run that trains on although its recorder was killed."""
    run = runs.new_run(tmp_path, {"training.steps": 2000})
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.02"])
    wait_for(lambda: b'"kind":"step"' in runs.log_of(run))
    kill_recorder(run)
    yield run
    processes.send(trainer(run), signal.SIGKILL, group=True)


def test_a_run_goes_on_without_its_recorder_and_says_so(alone: Path) -> None:
    found = state(alone)
    assert (found.state, "nobody will see its exit code" in found.reason) == ("running", True)
    size = (alone / rundir.EVENTS).stat().st_size
    wait_for(lambda: (alone / rundir.EVENTS).stat().st_size > size)
    with pytest.raises(attempts.CannotResume, match="is running"):
        attempts.check(alone)
    processes.send(trainer(alone), signal.SIGKILL)
    wait_for(lambda: state(alone).state != "running")
    assert state(alone) == Status("lost", UNKNOWN, found.started_at)
    assert not record.request_stop(alone)


def test_a_run_without_its_recorder_can_be_stopped(alone: Path) -> None:
    assert record.request_stop(alone)
    assert state(alone).state in ("stopping", "lost")
    wait_for(lambda: state(alone).state == "lost")
    word = attempts.last(attempts.told(alone), events.Finished)
    assert word
    said = f' A stop was requested before. Its log ends with "finished: stopped" after step {word.step}.'
    assert state(alone).reason == UNKNOWN + said


def test_a_completed_run_that_nobody_saw_end_is_never_finished(tmp_path: Path) -> None:
    run = runs.new_run(tmp_path, {"training.steps": 60})
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.02"])
    wait_for(lambda: b'"kind":"step"' in runs.log_of(run))
    kill_recorder(run)
    wait_for(lambda: state(run).state == "lost")
    assert state(run).reason == f'{UNKNOWN} Its log ends with "finished: completed" after step 60.'
    with pytest.raises(attempts.CannotResume, match="all 60 steps are done"):
        attempts.check(run)
    verdict = verify(bundle.seal(run, tmp_path / "bundles", "tiny"))
    assert (verdict.valid, verdict.level in ("E1", "E2")) == (True, True)
    assert "Its log ends with" in (tmp_path / "bundles" / "tiny" / "README.md").read_text()


def test_a_stubborn_trainer_without_a_recorder_is_killed_with_its_group(tmp_path: Path, short_grace: None) -> None:
    child = tmp_path / "child"
    run = begun(tmp_path, f"trap '' TERM; sleep 300 & echo $! > {child}; echo up; while true; do sleep 0.05; done")
    left = processes.identity(number_in(child))
    kill_recorder(run)
    assert record.request_stop(run)
    wait_for(lambda: state(run).state == "lost")
    wait_for(lambda: not processes.alive(left))


def test_a_stubborn_child_of_a_stopped_trainer_is_killed(tmp_path: Path, short_grace: None) -> None:
    child = tmp_path / "child"
    run = begun(tmp_path, f"(trap '' TERM; while true; do sleep 0.05; done) & echo $! > {child}; echo up; wait")
    left = processes.identity(number_in(child))
    assert record.request_stop(run)
    wait_for((run / rundir.EXIT).exists)
    assert not processes.alive(left)
    assert state(run).state == "stopped"


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(300)
    os._exit(0)
os.wait()
print("up", flush=True)
time.sleep(float(sys.argv[2]))
"""


def daemon_of(tmp_path: Path, seconds: float) -> tuple[Path, processes.Identity]:
    run = runs.new_run(tmp_path)
    record.launch(run, [sys.executable, "-c", DAEMON, str(tmp_path / "daemon"), str(seconds)])
    found = processes.identity(number_in(tmp_path / "daemon"))
    assert found
    return run, found


def test_a_double_forked_child_ends_with_its_run(tmp_path: Path) -> None:
    run, left = daemon_of(tmp_path, 1.5)
    wait_for((run / rundir.EXIT).exists)
    assert not processes.alive(left)
    ended = rundir.read_document(run / rundir.EXIT)
    assert (state(run).state, ended["exit_code"], ended["left_behind"]) == ("failed", 0, 1)


def test_a_double_forked_child_of_a_lost_run_is_found_by_its_run_id(tmp_path: Path) -> None:
    run, left = daemon_of(tmp_path, 300)
    assert record.sweep(run) == 0  # all is well
    kill_recorder(run)
    assert record.sweep(run) == 0  # it trains on
    processes.send(trainer(run), signal.SIGKILL)
    wait_for(lambda: state(run).state == "lost")
    assert processes.alive(left)
    assert processes.of_run(run, 0) == []  # an attempt before it has nothing left
    assert record.sweep(run) == 1
    assert not processes.alive(left)


def test_two_recorders_start_one_trainer(tmp_path: Path) -> None:
    run = runs.new_run(tmp_path)
    both = [record.launch(run, ["sh", "-c", "echo began; exit 7"]) for _ in range(3)]
    codes = sorted(process.wait() for process in both)
    assert (codes, (run / rundir.OUTPUT).read_text()) == ([2, 2, 7], "began\n")


def test_no_trainer_runs_whose_identity_is_not_on_disk(tmp_path: Path) -> None:
    """Recorders killed at any moment of their start: the folder knows whether something trains, and never starts it
    again."""
    for moment in (0, 0.002, 0.004, 0.008, 0.016, 0.032):
        run = runs.new_run(tmp_path)
        marks = tmp_path / f"marks-{moment}"
        process = record.launch(run, ["sh", "-c", f"echo $$ >> {marks}; exec sleep 300"])
        wait_for(lambda: (run / rundir.LAUNCH).exists())  # noqa: B023
        time.sleep(moment)
        process.kill()
        process.wait()
        time.sleep(0.1)
        found = state(run)
        if not moment:
            assert record.launch(run, ["sh", "-c", f"echo again >> {marks}"]).wait() == 2
        if marks.exists():
            assert processes.alive(trainer(run))
            assert int(marks.read_text()) == trainer(run)["pid"]
            assert found.state == "starting"
            assert record.request_stop(run)
            wait_for(lambda: state(run).state == "lost")  # noqa: B023
        else:
            assert found.state == "lost"


def test_a_recorder_that_died_before_its_trainer_says_so(ended_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(ended_run, tmp_path / ended_run.name))
    for name in (rundir.EXIT, rundir.PROCESS, rundir.EVENTS):
        (run / name).unlink()
    assert state(run).reason == "The recorder of this run is gone; it had not started a trainer yet."


def test_a_run_is_lost_at_reboot(ended_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(ended_run, tmp_path / ended_run.name))
    (run / rundir.EXIT).unlink()
    launch = rundir.read_document(run / rundir.LAUNCH)
    launch["recorder"]["boot_id"] = "another"
    rundir.write_document(run / rundir.LAUNCH, launch)
    found = state(run)
    assert found.state == "lost"
    assert found.reason == (
        "Lost at reboot: this machine was started anew before the end of the run was written down. "
        'Its log ends with "finished: completed" after step 40.'
    )
    launch["host"]["name_sha256"] = "0" * 64
    rundir.write_document(run / rundir.LAUNCH, launch)
    assert state(run).reason.startswith("Lost from sight: it was started on another machine")


def test_what_was_seen_of_a_loss_outlives_a_reboot(alone: Path) -> None:
    processes.send(trainer(alone), signal.SIGKILL)
    wait_for(lambda: state(alone).state == "lost")
    before = state(alone)
    rundir.write_document(alone / rundir.LOST, {"time": "2020", "reason": "of an attempt before"})
    assert state(alone) == before
    record.sweep(alone, before.reason)
    record.sweep(alone, "seen again, later")
    launch = rundir.read_document(alone / rundir.LAUNCH)
    launch["recorder"]["boot_id"] = "another"
    rundir.write_document(alone / rundir.LAUNCH, launch)
    assert state(alone) == before


@pytest.mark.parametrize("lacking", ["pidfd_open", "flag"])
def test_an_older_kernel_is_enough(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    def older(*arguments: object) -> None:
        raise OSError(errno.EINVAL if lacking == "flag" else errno.ENOSYS, "an older kernel")

    if lacking == "flag":
        send = signal.pidfd_send_signal
        monkeypatch.setattr(signal, "pidfd_send_signal", lambda *args: older() if args[3:] else send(*args))
    else:
        monkeypatch.setattr(os, "pidfd_open", older)
    with subprocess.Popen(["sh", "-c", "sleep 300 & wait"], start_new_session=True) as process:
        known = processes.identity(process.pid)
        wait_for(lambda: processes.below(process.pid))
        child = processes.identity(processes.below(process.pid)[0].pid)
        assert ("pidfd_inode" in known) == (lacking == "flag" and "pidfd_inode" in processes.identity(os.getpid()))
        assert processes.alive(known)
        assert not processes.wait(known, 0.05)
        assert processes.send(known, signal.SIGTERM, group=True)
        assert processes.wait(known, 10)
        assert processes.wait(child, 10)
        assert not processes.send(known, signal.SIGTERM, group=True)


def test_an_identity_is_of_one_process_only() -> None:
    with subprocess.Popen(["sleep", "300"]) as process:
        known = processes.identity(process.pid)
        assert processes.alive(known)
        assert processes.alive({name: value for name, value in known.items() if name != "pidfd_inode"})
        for name in known:
            assert not processes.alive({**known, name: "other" if name == "boot_id" else known[name] + 1})
        assert not processes.send({**known, "start_ticks": known["start_ticks"] + 1}, signal.SIGKILL)
        assert process.poll() is None
        assert processes.send(known, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not processes.alive(known)  # not even before it is buried
    assert processes.identity(process.pid) == {}
    assert not processes.send(known, signal.SIGKILL)


@pytest.mark.parametrize(
    ("kills", "sentence"),
    [
        ({"group": 1, "machine": 1}, "because memory ran out: the kernel counts an out-of-memory kill in its control"),
        ({"group": 0, "machine": 2}, "most likely because memory ran out"),
        ({"group": 0, "machine": 0}, "not by the kernel for lack of memory, so somebody did it."),
        ({"group": 0}, "which the system does when memory runs out, or somebody did."),
        ({}, "which the system does when memory runs out, or somebody did."),
    ],
)
def test_who_killed_a_trainer_is_said_as_far_as_it_is_known(kills: dict[str, int], sentence: str) -> None:
    assert sentence in killed({"signal": "SIGKILL", "out_of_memory_kills": kills})
    assert killed({"signal": "SIGSEGV", "out_of_memory_kills": kills}) == "The trainer was killed by SIGSEGV."


def test_a_trainer_that_the_kernel_kills_for_its_memory(tmp_path: Path) -> None:
    group = GROUPS / f"assay-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(64 << 20))
    except OSError:
        pytest.skip("this machine gives no control group to try it in")
    run = runs.new_run(tmp_path)
    command = [sys.executable, "-m", "evidence", "record", str(run), "--"]
    hungry = [sys.executable, "-c", "x = []\nwhile True: x.append(b'x' * (1 << 22))"]
    try:
        inside = f'echo $$ > {group}/cgroup.procs; exec "$@"'
        subprocess.run(["sh", "-c", inside, "sh", *command, *hungry], cwd=runs.ROOT, check=False)
        if "group" not in memory.kills():
            pytest.skip("this kernel counts no out-of-memory kills")
        assert (state(run).state, "because memory ran out" in state(run).reason) == ("failed", True)
    finally:
        group.rmdir()


def test_what_a_run_uses_is_written_down(tmp_path: Path) -> None:
    busy = "import time; x = b'x' * (64 << 20); end = time.monotonic() + 1.2\nwhile time.monotonic() < end: pass"
    with subprocess.Popen([sys.executable, "-c", busy]):
        sampler = system.Sampler(tmp_path / "system.jsonl", 0.2)
        (tmp_path / "system.jsonl").write_text("torn")
        sampler.start()
        time.sleep(1.0)
        sampler.stop()
    found = system.read(tmp_path / "system.jsonl")
    assert len(found) >= 2
    assert max(item.rss_bytes for item in found) > 64 << 20
    assert max(item.cpu_percent for item in found) > 20
    assert json.loads((tmp_path / "system.jsonl").read_text().splitlines()[1])["processes"] >= 1
    assert replace(found[0], cpu_percent=0.0).time.endswith("Z")
