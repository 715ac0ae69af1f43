"""Real servers, recorders and trainers (stand-ins that write as trainers do), killed at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import yaml

from evidence import rundir
from evidence.canonical import decode
from evidence.processes import alive
from tests.backend.client import PATIENCE_SECONDS, Client, until
from tests.backend.conftest import TINY, make_home
from tests.backend.test_starting import ROOT, _environment, _free_port
from tests.runs import wait_for

SPEC = {"config": None, "spec": yaml.safe_load(TINY)}
ENDED = ("finished", "failed", "stopped", "lost")


class _Server:
    """A server that is started again whenever it was killed."""

    def __init__(self, place: Path) -> None:
        self.place, self.port = place, _free_port()
        self.client = Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE_SECONDS)
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.backend.serve", "0.005"]
        environment = _environment(self.place, ASSAY_PORT=self.port)
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        until(self._answers, bool)

    def _answers(self) -> bool:
        try:
            return self.client.get("/health").is_success
        except httpx.TransportError:
            return self.process.poll() is not None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.start()


def storm(place: Path, kills: int, seed: int) -> int:
    """Kill so many of them; returns how many rows all runs have. Asserts that each run's rows are its lines, that its
    state is one that an ended run can be in, and that none whose process was killed counts as finished."""
    chance = random.Random(seed)
    home = make_home(place)
    server = _Server(place)
    killed: set[str] = set()
    try:
        run = ""
        for _ in range(kills):
            if not run or server.client.get(f"/runs/{run}").json()["state"] in ENDED:
                run = server.client.launch(**SPEC, overrides={"training.steps": 2_000})
                server.client.until(run, lambda item: item["step"] > 0 or item["state"] in ENDED)
            time.sleep(chance.uniform(0.01, 0.2))
            victim = chance.choice(["server", "recorder", "trainer"])
            if victim == "server":
                server.kill()
            elif _kill(home / "runs" / run, victim):
                killed.add(run)
                server.client.until(run, lambda item: item["state"] in ENDED)
        for item in server.client.get("/runs").json()["runs"]:
            if item["state"] not in ENDED:
                server.client.post(f"/runs/{item['id']}/stop")
                server.client.until(item["id"], lambda shown: shown["state"] in ENDED)
        rows = 0
        for item in server.client.get("/runs", params={"limit": 1000}).json()["runs"]:
            folder = home / "runs" / item["id"]
            if item["id"] in killed:
                assert item["state"] != "finished", item
            _end(folder)
            server.client.until(item["id"], lambda shown, folder=folder: shown["step"] == _last(folder))  # type: ignore[misc]
            shown = server.client.get(f"/runs/{item['id']}/metrics", params={"keys": "loss"}).json()
            said = [(line["step"], line["loss"]) for line in _lines(folder)]
            assert [*zip(shown["step"], shown["columns"]["loss"], strict=True)] == said
            rows += len(said)
        return rows
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait()
        for folder in rundir.folders(home / "runs"):
            _end(folder)
        server.client.close()


def _kill(run: Path, victim: str) -> bool:
    """Whether there was one to kill."""
    wait_for(lambda: (run / rundir.PROCESS).exists() or (run / rundir.EXIT).exists())
    document = rundir.read_document(run / rundir.PROCESS)
    process = document if victim == "trainer" else rundir.read_document(run / rundir.LAUNCH).get("recorder", {})
    if not alive(process) or (run / rundir.EXIT).exists():
        return False
    try:
        os.kill(int(process["pid"]), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _end(run: Path) -> None:
    """A trainer whose recorder was killed goes on; end it."""
    process = rundir.read_document(run / rundir.PROCESS)
    if not alive(process):  # or another process by now, of the same number
        return
    try:
        os.kill(int(process["pid"]), signal.SIGKILL)
    except ProcessLookupError:
        return
    wait_for(lambda: not Path(f"/proc/{process['pid']}").exists() or _zombie(int(process["pid"])))


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _lines(run: Path) -> list[dict[str, float]]:
    lines, _ = rundir.whole_lines(run / rundir.EVENTS, 0, -1)
    return [decode(line) for line in lines if b'"kind":"step"' in line]


def _last(run: Path) -> int:
    lines = _lines(run)
    return int(lines[-1]["step"]) if lines else 0
