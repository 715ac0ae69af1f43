"""The server as a process: it starts or says why not, and a kill loses nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.backend.client import PATIENCE_SECONDS, Client, until
from tests.backend.conftest import TINY, database_url, make_home

ROOT = Path(__file__).resolve().parents[2]


def _environment(place: Path, **variables: Any) -> dict[str, str]:
    return {
        **os.environ,
        "ASSAY_HOME": str(place / "home"),
        "ASSAY_SUBMISSIONS": str(place / "submissions"),
        "ASSAY_DEMO": "0",
        "ASSAY_DATABASE_URL": database_url(place / "home"),
        **{name: str(value) for name, value in variables.items()},
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _answers(client: Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def _server(place: Path, port: int, step_seconds: float) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "tests.backend.serve", str(step_seconds)]
    process = subprocess.Popen(command, cwd=ROOT, env=_environment(place, ASSAY_PORT=port), stdout=subprocess.DEVNULL)
    try:
        with Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
            until(lambda: _answers(client) or process.poll() is not None, bool)
            yield client, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _refused(**environment: Any) -> str:
    """What a server says that does not start."""
    command = [sys.executable, "-m", "backend"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def test_a_killed_server_finds_every_step_exactly_once(tmp_path: Path) -> None:
    make_home(tmp_path)
    spec = {"config": None, "spec": yaml.safe_load(TINY), "overrides": {"training.steps": 300}}
    port = _free_port()
    with _server(tmp_path, port, 0.01) as (client, process):
        run = client.launch(**spec)
        waiting = client.launch(**{**spec, "overrides": {"training.steps": 5}})
        client.until(run, lambda item: item["step"] > 20)
        process.kill()
        process.wait()
    with _server(tmp_path, port, 0.01) as (client, process):
        client.until(run, lambda item: item["step"] > 60)
        process.kill()
        process.wait()
    with _server(tmp_path, port, 0.01) as (client, _):
        assert client.until_state(run, "finished", "failed", "lost", "stopped")["state"] == "finished"
        assert client.get(f"/runs/{run}/metrics").json()["step"] == list(range(1, 301))
        assert client.until_state(waiting, "finished")["step"] == 5


def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        said = _refused(**_environment(tmp_path, ASSAY_PORT=port))
    assert said == f"Error: port {port} is taken; choose another with ASSAY_PORT\n"


def test_a_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    said = _refused(**_environment(tmp_path, ASSAY_PORT=_free_port()))
    assert said.startswith(f"Error: the data folder {tmp_path / 'home'} cannot be written: ")


def test_a_second_server_on_one_folder_is_refused(tmp_path: Path) -> None:
    with _server(tmp_path, _free_port(), 0.01):
        said = _refused(**_environment(tmp_path, ASSAY_PORT=_free_port()))
    assert said.startswith("Error: another server works on the data folder")


def _late(place: Path, port: int) -> subprocess.Popen[str]:
    """A server that opens when there is a file ``place/open``."""
    command = [sys.executable, "-m", "tests.backend.serve_late", str(place / "open")]
    environment = _environment(place, ASSAY_PORT=port)
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _page(client: Client) -> httpx.Response | None:
    try:
        return client.get("/runs", headers={"Accept": "text/html"})
    except httpx.TransportError:
        return None


def test_the_page_is_served_before_the_rest_is_imported_and_other_requests_wait(tmp_path: Path) -> None:
    make_home(tmp_path)
    port = _free_port()
    with _late(tmp_path, port) as process, Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        page = until(lambda: _page(client), lambda answer: answer is not None)
        assert page.status_code in (200, 503)  # 503: it is not built here
        assert page.headers["content-type"].startswith("text/html")
        assert client.get("/runs", headers={"Host": "elsewhere.example"}).status_code == 403
        with ThreadPoolExecutor() as pool:
            asked = [pool.submit(client.get, path) for path in ("/health", "/runs")]
            assert _page(client) is not None
            assert not any(answer.done() for answer in asked)
            (tmp_path / "open").touch()
            assert [answer.result().status_code for answer in asked] == [200, 200]
        process.terminate()
        said, complaint = process.communicate(timeout=PATIENCE_SECONDS)
    assert said == f"Assay is at http://127.0.0.1:{port}\n"
    assert complaint == ""


def test_who_waits_for_a_server_that_cannot_start_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    port = _free_port()
    with _late(tmp_path, port) as process, Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        until(lambda: _page(client), lambda answer: answer is not None)
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(client.get, "/health")
            assert _page(client) is not None
            (tmp_path / "open").touch()
            answer = asked.result()
        assert (answer.status_code, answer.json()["status"]) == (503, 503)
        said, complaint = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, said) == (2, "")
    assert complaint.startswith(f"Error: the data folder {tmp_path / 'home'} cannot be written: ")
    assert complaint.count("\n") == 1


def test_a_server_told_to_stop_while_it_opens_stops(tmp_path: Path) -> None:
    make_home(tmp_path)
    port = _free_port()
    with _late(tmp_path, port) as process, Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        until(lambda: _page(client), lambda answer: answer is not None)
        process.terminate()
        (tmp_path / "open").touch()
        said, complaint = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, said, complaint) == (-signal.SIGTERM, "", "")


@pytest.mark.parametrize("port", ["http", "0", "70000", "-1"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    said = _refused(**_environment(tmp_path, ASSAY_PORT=port))
    assert said == f"Error: ASSAY_PORT must be a port from 1 to 65535, got {port!r}\n"


def test_an_open_stream_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with _server(tmp_path, _free_port(), 0.01) as (client, process):
        assert next(client.messages(list=1)).event == "hello"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) is not None


def test_a_server_killed_while_it_starts_a_run_leaves_one_trainer_or_none(tmp_path: Path) -> None:
    """Killed at several moments between the asking and the spawn; the next server adopts the run, or starts it."""
    make_home(tmp_path)
    spec = {"config": None, "spec": yaml.safe_load(TINY), "overrides": {"training.steps": 5}}
    port = _free_port()
    started = []
    for moment in (0.0, 0.4):
        with _server(tmp_path, port, 0.01) as (client, process):
            started.append(client.launch(**spec))
            time.sleep(moment)
            process.kill()
            process.wait()
    with _server(tmp_path, port, 0.01) as (client, _):
        for run in started:
            assert client.until_state(run, "finished", "failed", "lost", "stopped")["state"] == "finished"
            said = (tmp_path / "home" / "runs" / run / "events.jsonl").read_text()
            assert said.count('"kind":"run_start"') == 1
