"""A run that is asked for over HTTP and runs elsewhere: pushed as a notebook to a stand-in for Kaggle, whose session
runs the notebook's own cells, watched, collected, sealed; through a server that is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence import reading, record, rundir
from evidence.status import ENDED
from evidence.verify import verify
from tests import clone
from tests.kaggle_stub import TOKEN, Stub
from tests.runs import log_of, wait_for


class Server:
    """A server from a clean clone: what it sends to Kaggle is its own commit."""

    def __init__(self, source: Path, home: Path, stub: Stub) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url, self.source = f"http://127.0.0.1:{port}", source
        self.environment = {
            **os.environ, "PYTHONPATH": str(source), "ASSAY_HOME": str(home), "ASSAY_PORT": str(port), "ASSAY_DEMO": "0",
            "ASSAY_SUBMISSIONS": str(home / "submission_runs"), "KAGGLE_API_TOKEN": TOKEN,
            "ASSAY_KAGGLE_ENDPOINT": stub.endpoint, "ASSAY_KAGGLE_POLL": "0.1",
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "backend"], cwd=self.source, env=self.environment)
        wait_for(self.answers)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").is_success
        except httpx.TransportError:
            return False

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait()

    def run(self, run_id: str) -> dict[str, Any]:
        return httpx.get(f"{self.url}/runs/{run_id}").json()  # type: ignore[no-any-return]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as found:
        yield found


@pytest.fixture
def server(tmp_path: Path, stub: Stub) -> Iterator[Server]:
    source = clone.make(
        tmp_path / "clone", ".gitignore", "assay", "backend", "evidence", "notebooks", "pyproject.toml", "training"
    )
    found = Server(source, tmp_path / "home", stub)
    found.start()
    yield found
    if found.process and found.process.poll() is None:
        found.end(signal.SIGTERM)


EXECUTE = """
import json, nbclient, nbformat, sys
book = nbformat.reads(open(sys.argv[1]).read(), 4)
try:
    nbclient.NotebookClient(book, timeout=240, resources={"metadata": {"path": sys.argv[2]}}).execute()
finally:
    print(json.dumps([output.get("text", "") for cell in book.cells for output in cell.get("outputs", ())]))
"""


def session(stub: Stub, root: Path, number: int = 1, stop_at: int = 0) -> None:
    """What session ``number`` does with the notebook that was pushed: run its cells, keep what they print and leave.

    It is given what the session before left. ``stop_at``: after so many steps its run is told to stop.
    """
    wait_for(lambda: stub.kernels and len(next(iter(stub.kernels.values()))) == number, 240)
    (slug, versions), place = next(iter(stub.kernels.items())), root / f"session-{number}"
    version, work, given = versions[-1], place / "work", place / "input" / slug.rpartition("/")[2]
    version.status = "RUNNING"
    work.mkdir(parents=True)
    given.mkdir(parents=True)
    for name, data in versions[-2].files.items() if number > 1 else ():
        (given / name).write_bytes(data)
    (place / "pushed.ipynb").write_text(version.request["text"])
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "XLA_FLAGS")}
    with subprocess.Popen(
        [sys.executable, "-c", EXECUTE, str(place / "pushed.ipynb"), str(work)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=place,
        env={**environment, "KAGGLE_KERNEL_RUN_TYPE": "Batch", "KAGGLE_INPUT": str(place / "input"), "TMPDIR": str(place)},
    ) as process:  # fmt: skip
        if stop_at:
            wait_for(lambda: (run := started(place)) and f'"step":{stop_at},'.encode() in log_of(run), 120)
            record.request_stop(started(place))  # type: ignore[arg-type]
        said, complaint = process.communicate()
    for text in json.loads(said.splitlines()[-1]):
        version.print(*text.splitlines())
    version.files = {path.name: path.read_bytes() for path in work.iterdir()}
    version.end("ERROR" if process.returncode else "COMPLETE", complaint[-500:])


def started(place: Path) -> Path | None:
    """The folder of the run that a session started."""
    return next((path.parent for path in place.glob(f"assay-*/runs/*/{rundir.LAUNCH}")), None)


def test_a_run_goes_to_a_session_and_comes_back_as_evidence(server: Server, stub: Stub, tmp_path: Path) -> None:
    assert httpx.get(f"{server.url}/configs").json()["launchers"] == ["local", "kaggle"]
    refused = httpx.post(f"{server.url}/runs", json={"config": "smoke_tiny", "launcher": "kaggle"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "device")
    there = threading.Thread(target=session, args=(stub, tmp_path), daemon=True)
    there.start()
    asked = {"config": "smoke_tiny", "launcher": "kaggle", "device": "cpu", "name": "lent"}
    answer = httpx.post(f"{server.url}/runs", json=asked)
    assert answer.status_code == 201, answer.text
    run_id = answer.json()["id"]
    wait_for(lambda: "Runs at Kaggle: version 1" in server.run(run_id)["reason"])
    server.end(signal.SIGKILL)
    server.start()
    wait_for(lambda: server.run(run_id)["state"] in ENDED, 240)
    there.join(60)
    run = server.run(run_id)
    assert (run["state"], run["step"]) == ("finished", 30), run["reason"]
    assert len(stub.of("SaveKernel")) == 1
    shown = {
        name: httpx.get(f"{server.url}/runs/{run_id}/{name}").json()[name] for name in ("predictions", "checkpoints")
    }
    assert shown["predictions"]
    assert [item["on_disk"] for item in shown["checkpoints"]][-1:] == [True]

    sealed = httpx.post(f"{server.url}/runs/{run_id}/seal", json={}, timeout=60)
    assert sealed.status_code == 201, sealed.text
    place = tmp_path / "home" / "submission_runs" / "lent"
    verdict = verify(place)
    assert (verdict.failures, verdict.level) == ((), "E2")
    manifest = reading.Bundle(place).manifest
    assert manifest.location.kind == "kaggle_stand_in"
    assert manifest.witness.kind == "witnessed"  # the server saw the rows as the session's log told them
    assert f"of a stand-in for Kaggle at {stub.endpoint}, not on Kaggle" in (place / reading.README).read_text()
    folder = tmp_path / "home" / "runs" / run_id
    assert TOKEN not in json.dumps(rundir.read_document(folder / rundir.REMOTE))
    for path in [*place.rglob("*"), *folder.rglob("*")]:
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def test_a_run_that_a_session_stopped_is_resumed_in_the_next_one(server: Server, stub: Stub, tmp_path: Path) -> None:
    overrides = {"training.steps": 1200, "checkpoints.every_steps": 100}
    asked = {"config": "smoke_tiny", "launcher": "kaggle", "device": "cpu", "name": "in_two", "overrides": overrides}
    threads = [
        threading.Thread(target=session, args=(stub, tmp_path, number, stop_at), daemon=True)
        for number, stop_at in ((1, 50), (2, 0))
    ]
    for thread in threads:
        thread.start()
    run_id = httpx.post(f"{server.url}/runs", json=asked).raise_for_status().json()["id"]
    wait_for(lambda: server.run(run_id)["state"] in ENDED, 240)
    stopped = server.run(run_id)
    assert stopped["state"] == "stopped" and 50 <= stopped["step"] < 1200, stopped["reason"]
    resumed = httpx.post(f"{server.url}/runs/{run_id}/resume")
    assert resumed.status_code == 202, resumed.text
    assert resumed.json()["reason"] == f"Waits to go on after step {stopped['step']}."
    wait_for(lambda: server.run(run_id)["state"] == "finished", 240)
    steps = httpx.get(f"{server.url}/runs/{run_id}/metrics", params={"keys": "loss"}).json()["step"]
    assert steps == list(range(1, 1201))
    assert stub.of("SaveKernel")[1].body["kernelDataSources"] == list(stub.kernels)

    sealed = httpx.post(f"{server.url}/runs/{run_id}/seal", json={}, timeout=60)
    assert sealed.status_code == 201, sealed.text
    place = tmp_path / "home" / "submission_runs" / "in_two"
    assert verify(place).failures == ()
    assert [item.from_step for item in reading.Bundle(place).manifest.attempts][1:] == [stopped["step"]]
