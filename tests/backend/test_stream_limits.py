"""What the stream costs: one that nobody reads is dropped and held no memory; an hour's sleep is made up in blocks."""

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

import httpx
import pytest

from evidence import events, rundir
from tests import runs
from tests.backend.client import PATIENCE_SECONDS, Client, serving, until
from tests.backend.conftest import make_home, make_settings
from tests.backend.test_starting import _environment, _free_port
from tests.backend.test_storing import line

HOUR, DAY = 40_000, 120_000


def _long_run(home: Path, steps: int) -> Path:
    run = runs.new_run(home / "runs", {"training.steps": steps})
    (run / rundir.EVENTS).write_bytes(b"".join(line(step) for step in range(1, steps + 1)))
    rundir.write_document(run / rundir.CANCELLED, {"time": events.now()})
    return run


@contextmanager
def _process(place: Path, seconds: int) -> Iterator[tuple[int, int]]:
    """The port and the process of a real server that drops clients after ``seconds``."""
    port = _free_port()
    code = (
        "import sys\nfrom dataclasses import replace\nfrom backend import settings\nfrom backend.__main__ import serve\n"
        f"sys.exit(serve(replace(settings.read(), client_seconds={seconds})))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=_environment(place, ASSAY_PORT=port))
    try:
        until(lambda: _well(port), bool)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def _well(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").is_success
    except httpx.TransportError:
        return False


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(item for item in status.splitlines() if item.startswith("VmRSS")).split()[1]) << 10


def _connections(pid: int) -> int:
    """Open sockets of a process."""
    folder = Path(f"/proc/{pid}/fd")
    return sum(os.readlink(item).startswith("socket:") for item in folder.iterdir() if item.is_symlink())  # noqa: PTH115 - Path asks for the target


def test_a_client_that_never_reads_is_dropped_and_costs_bounded_memory(tmp_path: Path) -> None:
    run = _long_run(make_home(tmp_path), DAY)
    with _process(tmp_path, 2) as (port, pid), Client(base_url=f"http://127.0.0.1:{port}") as client:
        client.until(run.name, lambda item: item["step"] == DAY)
        client.get(f"/runs/{run.name}/metrics", params={"buckets": 100})
        before, open_before = _resident(pid), _connections(pid)
        deaf = []
        for _ in range(5):
            deaf.append(socket.create_connection(("127.0.0.1", port)))
            deaf[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf[-1].sendall(f"GET /stream?runs={run.name} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        until(lambda: _connections(pid), lambda count: count >= open_before + 5)
        time.sleep(1.0)
        assert _resident(pid) - before < 45 << 20, "five clients, each of twenty megabytes of rows"
        until(lambda: _connections(pid), lambda count: count <= open_before + 1)
        assert client.get(f"/runs/{run.name}").json()["step"] == DAY
        for item in deaf:
            item.close()


def test_an_hour_of_rows_comes_in_blocks_and_each_once(tmp_path: Path) -> None:
    """Slept through for an hour at eleven steps a second: eight messages."""
    settings = make_settings(tmp_path)
    run = _long_run(settings.home, HOUR)
    with serving(settings) as client:
        client.until(run.name, lambda item: item["step"] == HOUR)
        steps: list[int] = []
        blocks = 0
        for message in client.messages(runs=run.name):
            if message.event == "metrics":
                blocks += 1
                steps += message.data["columns"]["step"]
                if blocks == 3:
                    cursor = message.id
                if steps[-1] == HOUR:
                    break
        assert steps == list(range(1, HOUR + 1))
        assert blocks == HOUR // 5_000
        again = next(message for message in client.messages(runs=run.name, cursor=cursor) if message.event == "metrics")
        assert again.data["columns"]["step"] == steps[15_000:20_000]


def test_a_log_that_was_replaced_is_told_from_its_beginning(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    run = _long_run(settings.home, 50)
    with serving(settings) as client:
        messages = client.messages(runs=run.name)
        first = next(message for message in messages if message.event == "metrics")
        assert first.data["columns"]["step"] == list(range(1, 51))
        (run / "new").write_bytes(line(1, 9.0) + line(2, float("nan")))
        (run / "new").replace(run / rundir.EVENTS)
        seen = []
        for message in messages:
            seen.append(message)
            if message.event == "metrics":
                break
        assert seen[-2].event == "restart" or "restart" in {message.event for message in seen}
        assert seen[-1].data["columns"]["loss"] == [9.0, "NaN"]
        assert seen[-1].id.endswith(":g1")
        late = client.messages(runs=run.name, last_event_id=first.id)
        assert [next(late).event, next(late).event] == ["hello", "restart"]
        assert client.get(f"/runs/{run.name}/metrics").json()["step"] == [1, 2]


def test_notices_are_not_relied_upon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.runs.notices._inotify", lambda: -1)
    with serving(make_settings(tmp_path, 0.01)) as client:
        run = client.launch(overrides={"training.steps": 30})
        assert client.until_state(run, "finished")["step"] == 30
