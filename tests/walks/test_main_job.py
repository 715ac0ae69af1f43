"""The main job through the front door: real server, real trainer, a server killed on the way, sealed evidence."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from assay.client import ApiError, Client
from evidence import events, rundir
from evidence.status import ENDED
from evidence.verify import verify
from tests.runs import ROOT, wait_for


class Server:
    """``python -m backend`` on a free port over a folder of its own."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home = home
        self.url = f"http://127.0.0.1:{self.port}"
        self.submissions = home / "submission_runs"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **os.environ, "ASSAY_HOME": str(self.home), "ASSAY_PORT": str(self.port), "ASSAY_HOST": "127.0.0.1",
            "ASSAY_DEMO": "0", "ASSAY_SUBMISSIONS": str(self.submissions), "ASSAY_DATA_ROOTS": str(self.home / "mine"),
        }  # fmt: skip
        self.process = subprocess.Popen([sys.executable, "-m", "backend"], cwd=ROOT, env=environment)
        wait_for(self.answers)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the server ended"
        try:
            return httpx.get(f"{self.url}/health").is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    found.start()
    yield found
    with Client(found.url) as client:
        for run in client.runs():
            if run["state"] not in ENDED:
                client.stop(run["id"])
    found.stop()


def test_a_run_survives_its_server_and_becomes_evidence(server: Server) -> None:
    with Client(server.url) as client:
        overrides = {"training.steps": 80, "optimizer.warmup_steps": 5, "evaluation.every_steps": 10}
        run = client.create_run("smoke_tiny", overrides, name="walk")
        folder = server.home / "runs" / run["id"]
        wait_for(lambda: client.run(run["id"])["step"] >= 10, seconds=240)

    server.kill()
    before = (folder / rundir.EVENTS).stat().st_size
    wait_for(lambda: (folder / rundir.EVENTS).stat().st_size > before)  # nobody watches, and it goes on
    server.start()

    with Client(server.url) as client:
        wait_for(lambda: client.run(run["id"])["state"] in ENDED, seconds=240)
        last = client.run(run["id"])
        assert (last["state"], last["step"]) == ("finished", 80), last["reason"]

        written = [event for event in _events(folder) if isinstance(event, events.Step)]
        metrics = client.metrics(run["id"])
        assert metrics["step"] == list(range(1, 81))
        assert metrics["columns"]["loss"] == [row.loss for row in written]

        streamed: list[int] = []
        for name, data in client.stream(run["id"]):
            if name == "metrics":
                streamed += data["columns"]["step"]
            if streamed[-1:] == [80]:
                break
        assert streamed == list(range(1, 81))

        bundle = client.seal(run["id"])
        assert bundle["name"] == "walk"
        shown = client.bundle("walk")
        assert shown["valid"] is True
        assert "A CPU run, not a TPU run." in shown["sentence"]
        assert client.run(run["id"])["bundles"] == ["walk"]
    verdict = verify(server.submissions / "walk")
    assert verdict.failures == ()


def test_your_own_data_train_through_the_same_door(server: Server) -> None:
    mine = server.home / "mine"
    mine.mkdir()
    lines = [
        json.dumps(
            {"question": f"Ann has {n} apples and buys {n + 1}. How many?", "answer": f"{n}+{n + 1}\n#### {2 * n + 1}"}
        )
        for n in range(80)
    ]
    (mine / "sums.jsonl").write_text("\n".join(lines) + "\n")
    overrides = {
        "data.train_path": str(mine / "sums.jsonl"), "data.prompt_field": "question", "data.answer_field": "answer",
        "data.eval_rows": 8, "training.steps": 6, "training.sequence_length": 96, "optimizer.warmup_steps": 1,
    }  # fmt: skip
    with Client(server.url) as client:
        run = client.create_run("smoke_tiny", overrides)
        wait_for(lambda: client.run(run["id"])["state"] in ENDED, seconds=240)
        last = client.run(run["id"])
        assert (last["state"], last["step"]) == ("finished", 6), last["reason"]
        assert last["data"]["train_rows"] == 72


@pytest.mark.parametrize(
    ("overrides", "field", "sentence"),
    [
        ({"training.steps": 0}, "training.steps", "training.steps must be at least 1 and at most 10,000,000, got 0"),
        ({"training.step": 5}, "training.step", "training.step: there is no such setting; did you mean training.steps?"),
        ({"optimizer.learning_rate": "1e-3"}, "optimizer.learning_rate",
         "optimizer.learning_rate must be a number, got the text '1e-3' (YAML reads that as text; write 1.0e-3)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_the_words_of_the_command_line(
    server: Server, overrides: dict[str, Any], field: str, sentence: str
) -> None:
    with Client(server.url) as client:
        with pytest.raises(ApiError) as refused:
            client.create_run("smoke_tiny", overrides)
        assert refused.value.status == 422
        assert refused.value.problems == [{"field": field, "message": sentence}]
        assert client.runs() == []
    assert not list(server.home.glob("runs/*"))


def test_a_run_that_cannot_have_its_device_says_so_on_its_first_line(server: Server) -> None:
    with Client(server.url) as client:
        run = client.create_run("smoke_tiny", {"device": "tpu"})
        wait_for(lambda: client.run(run["id"])["state"] in ENDED, seconds=120)
        last = client.run(run["id"])
    assert last["state"] == "failed"
    assert "tpu" in last["reason"].lower()
    assert last["step"] == 0


def _events(folder: Path) -> list[events.Event]:
    lines, _ = rundir.whole_lines(folder / rundir.EVENTS, 0)
    return [events.decode(line) for line in lines]
