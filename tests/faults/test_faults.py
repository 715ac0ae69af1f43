"""What else goes wrong: each says what it is, and loses nothing."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend import database as index
from backend.database import Database, Unusable, library
from evidence import attempts, bundle, events, rundir, status
from evidence.record import request_stop
from tests import runs
from tests.backend.client import Client, serving, until
from tests.backend.conftest import make_home, make_settings
from tests.backend.test_starting import _environment, _free_port, _refused, _server
from tests.backend.test_storing import line
from training.reporter import Reporter, StepFacts

pytestmark = pytest.mark.skipif(bool(os.environ.get("ASSAY_TEST_POSTGRES")), reason="of an index that is a file")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here; it takes root")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def _log(home: Path, steps: int) -> Path:
    """A run that somebody else made, of so many rows."""
    run = runs.new_run(home / "runs", {"training.steps": 5_000})
    (run / rundir.EVENTS).write_bytes(b"".join(line(step) for step in range(1, steps + 1)))
    rundir.write_document(run / rundir.CANCELLED, {"time": events.now()})
    return run


def _append(run: Path, first: int, last: int) -> None:
    with (run / rundir.EVENTS).open("ab") as stream:
        stream.write(b"".join(line(step) for step in range(first, last + 1)))


def _steps(client: Client, run: Path) -> list[int]:
    return list(client.get(f"/runs/{run.name}/metrics", params={"keys": "loss"}).json()["step"])


def _problems(client: Client) -> str:
    return " ".join(client.get("/health").json()["problems"])


def test_a_full_disk_under_the_index_is_said_and_made_up_for(tmp_path: Path, small_disk: Path) -> None:
    home = make_home(tmp_path)
    (home / "runs").mkdir()
    (small_disk / "runs").symlink_to(home / "runs")
    run = _log(home, 10)
    with serving(make_settings(tmp_path, home=small_disk)) as client:
        until(lambda: client.get(f"/runs/{run.name}").status_code, lambda code: code == 200)
        client.until(run.name, lambda item: item["step"] == 10)
        filler = os.open(small_disk / "filler", os.O_CREAT | os.O_WRONLY)
        with pytest.raises(OSError, match="No space left"):
            while True:
                os.write(filler, b"x" * 4096)
        os.close(filler)
        _append(run, 11, 20_000)
        until(lambda: _problems(client), lambda text: "disk is full" in text)
        assert client.get("/health").json()["status"] == "troubled"
        assert _steps(client, run)[:10] == list(range(1, 11))
        (small_disk / "filler").unlink()
        client.until(run.name, lambda item: item["step"] == 20_000)
        assert _steps(client, run) == list(range(1, 20_001))
        until(lambda: _problems(client), lambda text: text == "")


def test_a_full_disk_under_a_trainer_leaves_whole_lines(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Training:
        steps, batch_size = 10**6, 8

    def facts(step: int) -> StepFacts:
        return StepFacts(step, 0.1, 1.0, 1.0, 1.0, 0.1, "a" * 64, 256, 7)

    with Reporter(small_disk, Training()) as reporter:  # type: ignore[arg-type]
        reporter.start_chain("0" * 64)
        with pytest.raises(OSError, match="No space left"):
            for step in range(1, 10**6):
                reporter.report(facts(step))
    said = step
    assert rundir.has_torn_line(small_disk / rundir.EVENTS)
    with Reporter(small_disk, Training()):  # type: ignore[arg-type]
        pass  # who goes on cuts off what was torn
    lines, end = rundir.whole_lines(small_disk / rundir.EVENTS, 0, -1)
    assert [events.decode(item).step for item in lines] == list(range(1, said))  # type: ignore[attr-defined]
    assert end == (small_disk / rundir.EVENTS).stat().st_size


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, small_disk: Path) -> None:
    (small_disk / "home").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    said = _refused(**_environment(tmp_path, ASSAY_PORT=_free_port(), ASSAY_HOME=small_disk / "home"))
    assert said == (
        f"Error: the data folder {small_disk / 'home'} cannot be written: Read-only file system; "
        "choose another with ASSAY_HOME\n"
    )


def test_a_server_out_of_file_handles_goes_on_when_there_are_some(tmp_path: Path) -> None:
    run = _log(make_home(tmp_path), 10)
    port = _free_port()
    command = [sys.executable, "-m", "tests.backend.serve", "0.01"]
    process = subprocess.Popen(
        command,
        env=_environment(tmp_path, ASSAY_PORT=port),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)),
    )
    try:
        until(lambda: _open(port), bool)
        many = [socket.create_connection(("127.0.0.1", port)) for _ in range(80)]
        _append(run, 11, 500)
        time.sleep(0.5)
        for item in many:
            item.close()
        with Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            client.until(run.name, lambda item: item["step"] == 500)
            assert _steps(client, run) == list(range(1, 501))
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait()


def _open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_an_index_that_somebody_locks_is_said_and_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PATIENCE_SECONDS", 0.2)
    settings = make_settings(tmp_path)
    run = _log(settings.home, 10)
    with serving(settings) as client:
        client.until(run.name, lambda item: item["step"] == 10)
        other = library().connect(settings.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        _append(run, 11, 2_000)
        until(lambda: _problems(client), lambda text: "database is locked" in text)
        assert _steps(client, run) == list(range(1, 11))
        other.execute("ROLLBACK")
        other.close()
        client.until(run.name, lambda item: item["step"] == 2_000)
        assert _steps(client, run) == list(range(1, 2_001))


def test_an_index_that_stays_locked_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "PATIENCE_SECONDS", 0.1)
    Database(tmp_path / "assay.db").close()
    other = library().connect(tmp_path / "assay.db", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unusable, match="database is locked"):
        Database(tmp_path / "assay.db")
    other.execute("ROLLBACK")
    other.close()
    Database(tmp_path / "assay.db").close()


def _overwrite(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(place, os.SEEK_SET if place >= 0 else os.SEEK_END)
        stream.write(data)


def _garble_a_page(path: Path) -> None:
    for page in range(2, path.stat().st_size // 4096, 2):
        _overwrite(path, page * 4096, os.urandom(64))


@pytest.mark.parametrize(
    "spoil",
    [
        _garble_a_page,
        lambda path: _overwrite(path, 0, b"this is no database, and was one"),
        lambda path: path.write_bytes(path.read_bytes()[:6000]),
        lambda path: path.write_bytes(b"\0" * 8192),
    ],
    ids=["page", "header", "truncated", "zeroes"],
)
def test_a_broken_index_is_moved_aside_and_read_anew(tmp_path: Path, spoil: Callable[[Path], Any]) -> None:
    settings = make_settings(tmp_path)
    run = _log(settings.home, 3_000)
    with serving(settings) as client:
        client.until(run.name, lambda item: item["step"] == 3_000)
    spoil(settings.database)
    with serving(settings) as client:
        until(lambda: client.get("/runs").json()["total"], lambda total: total == 1)
        client.until(run.name, lambda item: item["step"] == 3_000)
        assert _steps(client, run) == list(range(1, 3_001))
        assert "The index was broken" in _problems(client)
        assert (settings.home / "assay.db.broken-1").exists()
        assert client.get("/health").json()["status"] == "ok"


def test_an_index_of_a_version_that_is_not_known_is_moved_aside(tmp_path: Path) -> None:
    Database(tmp_path / "assay.db").close()
    with library().connect(tmp_path / "assay.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from the future'")
    connection.close()
    database = Database(tmp_path / "assay.db")
    assert "could not be upgraded" in database.notice
    database.close()


def test_a_kill_in_a_migration_leaves_the_index_as_it_was_or_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "assay.db"
    for statements in range(1, 14, 2):
        path.unlink(missing_ok=True)
        with library().connect(path) as connection:
            connection.executescript(
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);PRAGMA journal_mode=WAL;"
            )
        connection.close()
        if not (child := os.fork()):
            _migrate_and_die(path, statements)
        os.waitpid(child, 0)
        database = Database(path)
        assert database.notice == ""
        with database.read() as connection:
            assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == [index.HEAD]
            assert connection.exec_driver_sql("SELECT count(*) FROM chunks").scalar() == 0
        database.close()


def _migrate_and_die(path: Path, statements: int) -> None:
    from alembic.runtime import migration

    count = 0

    class Dying(migration.MigrationContext):
        pass

    def begin(*_: object, **__: object) -> None:
        nonlocal count
        count += 1
        if count >= statements:
            os.kill(os.getpid(), signal.SIGKILL)

    from sqlalchemy import Engine, event

    event.listen(Engine, "before_cursor_execute", begin)
    try:
        Database(path)
    finally:
        os._exit(0)


def test_a_server_that_was_stopped_for_a_while_catches_up(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    run = _log(home, 10)
    with _server(tmp_path, _free_port(), 0.01) as (client, process):
        client.until(run.name, lambda item: item["step"] == 10)
        messages = client.messages(runs=run.name)
        steps = list(next(item for item in messages if item.event == "metrics").data["columns"]["step"])
        process.send_signal(signal.SIGSTOP)
        _append(run, 11, 8_000)
        time.sleep(2)
        process.send_signal(signal.SIGCONT)
        for message in messages:
            if message.event == "metrics":
                steps += message.data["columns"]["step"]
                if steps[-1] == 8_000:
                    break
        assert steps == list(range(1, 8_001))


def test_a_trainer_that_was_stopped_for_a_while_is_still_running(slow: Client, tmp_path: Path) -> None:
    run = slow.launch(overrides={"training.steps": 60})
    slow.until(run, lambda item: item["step"] > 2)
    pid = rundir.read_document(tmp_path / "home" / "runs" / run / rundir.PROCESS)["pid"]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.5)
    before = slow.get(f"/runs/{run}").json()
    assert before["state"] == "running"
    os.kill(pid, signal.SIGCONT)
    assert slow.until_state(run, "finished")["step"] == 60


def test_a_folder_that_is_deleted_under_a_run_is_forgotten(slow: Client, tmp_path: Path) -> None:
    run = slow.launch(overrides={"training.steps": 5_000})
    slow.until(run, lambda item: item["step"] > 2)
    folder = tmp_path / "home" / "runs" / run
    pid = rundir.read_document(folder / rundir.PROCESS)["pid"]
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    until(lambda: slow.get(f"/runs/{run}").status_code, lambda code: code == 404)
    os.kill(pid, signal.SIGKILL)
    after = slow.launch(overrides={"training.steps": 5})
    assert slow.until_state(after, "finished")["step"] == 5


def test_a_clock_that_jumps_back_takes_no_row_and_no_pace(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    run = _log(settings.home, 5)
    earlier = line(6).replace(b'"time":"2026-01-31T12', b'"time":"2025-12-31T23')
    with (run / rundir.EVENTS).open("ab") as stream:
        stream.write(earlier + line(7))
    with serving(settings) as client:
        shown = client.until(run.name, lambda item: item["step"] == 7)
        assert shown["tokens_per_second"] == 1024.0
        assert _steps(client, run) == list(range(1, 8))


SET_BACK = """
import runpy, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from evidence import events, rundir
def now():
    launched = rundir.read_document(Path(sys.argv[1]) / rundir.LAUNCH).get("attempt", 0) >= int(attempt)
    return events.stamp(datetime.now(UTC) - timedelta(hours=launched))
_, attempt, module, *words = sys.argv
sys.argv, events.now = [module, *words], now
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
"""Runs a module whose clock is set back by an hour as soon as an attempt of the run (its first word) is launched."""

RECORD = """
import sys
from pathlib import Path
from evidence.record import record
sys.exit(record(Path(sys.argv[1]), sys.argv[3:], resume=sys.argv[2] == "2"))
"""


def _record_set_back(run: Path, attempt: int, *options: str) -> subprocess.Popen[bytes]:
    """Record an attempt of the stand-in trainer, on a clock that is set back while it runs."""
    back = [sys.executable, "-c", SET_BACK, str(attempt)]
    recorder = run.parent.parent / "record_set_back.py"
    recorder.write_text(RECORD)
    environment = {**os.environ, "PYTHONPATH": f"{recorder.parent}:{runs.ROOT}"}
    command = [*back, "tests.stand_in", str(run), *options]
    return subprocess.Popen([*back, recorder.stem, str(run), str(attempt), *command], cwd=runs.ROOT, env=environment)


def _told(run: Path) -> status.Status:
    return status.status(run, attempts.last(attempts.told(run), events.Finished))


def test_a_run_whose_clock_is_set_back_ends_as_it_ended(tmp_path: Path) -> None:
    run = runs.new_run(tmp_path / "runs", {"training.steps": 40, "checkpoints.every_steps": 10}, name="back")
    recorder = _record_set_back(run, 1, "--step-seconds", "0.1")
    runs.wait_for(lambda: b'"step":13,' in runs.log_of(run))
    assert _told(run).state == "running"
    assert request_stop(run)
    runs.wait_for((run / rundir.STOP).exists)
    assert _told(run).state in ("stopping", "stopped")
    assert recorder.wait(60) == 75
    stopped = _told(run)
    assert (stopped.state, stopped.exit_code) == ("stopped", 75)
    assert stopped.ended_at < stopped.started_at
    with pytest.raises(bundle.SealRefused, match="the recorder started → run_start: expected not before"):
        bundle.seal(run, tmp_path / "bundles", "stopped")
    # The next attempt begins an hour later than the last one ended, and the clock is set back under it again.
    silent = _record_set_back(run, 2, "--fail-at", "20")
    assert silent.wait(60) == 1
    assert (_told(run).state, _told(run).exit_code) == ("failed", 1)
    assert " while training: " in _told(run).reason
    assert runs.record(run, resume=True) == 0
    assert _told(run).state == "finished"
    with serving(make_settings(tmp_path, home=tmp_path)) as client:
        assert client.until_state(run.name, "finished")["step"] == 40
        assert (
            client.post(f"/runs/{run.name}/stop").json()["detail"].endswith("ended already; there is nothing to stop")
        )


def test_a_copy_of_a_used_index_is_whole(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    run = _log(settings.home, 5_000)
    with serving(settings) as client:
        client.until(run.name, lambda item: item["step"] > 0)
        index.backup(settings.database, tmp_path / "copy.db")
    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "copy.db", tmp_path / "again" / "assay.db")
    copied = Database(tmp_path / "again" / "assay.db")
    assert copied.notice == ""
    with copied.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM runs").scalar() == 1
    copied.close()
    with pytest.raises(Unusable, match="there is no index"):
        index.backup(tmp_path / "nothing.db", tmp_path / "copy.db")
