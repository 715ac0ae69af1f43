"""Queueing, stopping, dying: what becomes of a run, as its folder says."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence import rundir
from tests import runs
from tests.backend.client import Client, serving, until
from tests.backend.conftest import delete_index, make_settings

LONG = {"training.steps": 5_000}


def _trainer(folder: Path) -> int:
    return int(until(lambda: rundir.read_document(folder / rundir.PROCESS), bool)["pid"])


def test_runs_wait_for_their_device_in_order(slow: Client) -> None:
    first, second, third = (slow.launch(overrides=LONG) for _ in range(3))
    slow.until_state(first, "running")
    assert slow.get(f"/runs/{second}").json()["queue_position"] == 1
    assert slow.get(f"/runs/{third}").json()["queue_position"] == 2
    assert slow.get("/health").json()["runs"] == {"running": 1, "queued": 2}
    slow.post(f"/runs/{second}/stop")
    assert slow.get(f"/runs/{second}").json()["state"] == "stopped"
    assert slow.get(f"/runs/{third}").json()["queue_position"] == 1
    slow.post(f"/runs/{first}/stop")
    slow.until_state(third, "running")
    assert slow.get(f"/runs/{first}").json()["state"] == "stopped"


def test_a_stopped_run_says_after_which_step(slow: Client) -> None:
    run = slow.launch(overrides=LONG)
    slow.until(run, lambda item: item["step"] > 3)
    response = slow.post(f"/runs/{run}/stop")
    assert response.status_code == 202
    ended = slow.until_state(run, "stopped")
    assert ended["reason"] == f"Stopped on request after step {ended['step']}."
    again = slow.post(f"/runs/{run}/stop")
    assert again.status_code == 409
    assert again.json()["detail"] == f"run {run} has ended already; there is nothing to stop"


def test_killed_trainer_is_failed(slow: Client, tmp_path: Path) -> None:
    run = slow.launch(overrides=LONG)
    slow.until(run, lambda item: item["step"] > 0)
    os.kill(_trainer(tmp_path / "home" / "runs" / run), signal.SIGKILL)
    ended = slow.until_state(run, "failed")
    assert ended["reason"] == runs.KILLED
    assert ended["error"]["message"] == ended["reason"]


def test_a_trainer_that_cannot_start_is_failed(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    object.__setattr__(settings, "trainer_command", ("/no/such/trainer",))
    with serving(settings) as client:
        ended = client.until_state(client.launch(), "failed")
        assert "/no/such/trainer" in ended["error"]["log_tail"]


def test_a_running_run_cannot_be_sealed(slow: Client) -> None:
    run = slow.launch(overrides=LONG)
    slow.until_state(run, "running")
    assert slow.post(f"/runs/{run}/seal", json={}).status_code == 409


def test_the_index_can_be_deleted(tmp_path: Path) -> None:
    def shown(client: Client, run: str) -> tuple[object, ...]:
        paths = ("", "/metrics", "/checkpoints", "/samples", "/evaluations", "/predictions")
        return tuple(client.get(f"/runs/{run}{path}").raise_for_status().json() for path in paths)

    with serving(make_settings(tmp_path)) as client:
        finished, cancelled = client.launch(), client.launch(name="second")
        client.post(f"/runs/{cancelled}/stop")
        client.until_state(finished, "finished")
        client.until_state(cancelled, "stopped", "finished")
        before = [shown(client, run) for run in (finished, cancelled)]
        page = client.get("/runs").json()
    delete_index(tmp_path / "home")
    with serving(make_settings(tmp_path)) as client:
        until(lambda: client.get("/runs").json(), lambda item: item["total"] == 2)
        client.until_state(cancelled, "stopped", "finished")
        client.until(finished, lambda item: item["state"] == "finished")
        assert [shown(client, run) for run in (finished, cancelled)] == before
        assert client.get("/runs").json() == page


def test_lines_that_are_no_events_are_counted_and_skipped(finished: tuple[Client, str, Callable[[], Path]]) -> None:
    client, run, folder = finished
    before = client.get(f"/runs/{run}/metrics").json()
    assert client.get(f"/runs/{run}").json()["warnings"] == []
    with (folder() / "events.jsonl").open("ab") as stream:
        stream.write(b'{"kind":"step"}\nnot\rjson\n\xff\n{"kind":"nothing"}\n{"half')
    shown = client.until(run, lambda item: item["warnings"])
    assert shown["warnings"][0]["message"].startswith("events.jsonl: 4 lines are not events")
    assert client.get(f"/runs/{run}/metrics").json() == before


def test_a_folder_that_goes_is_forgotten(client: Client, tmp_path: Path) -> None:
    run = client.launch(overrides={"training.steps": 5})
    client.until_state(run, "finished")
    (tmp_path / "home" / "runs" / run).rename(tmp_path / "elsewhere")
    until(lambda: client.get("/runs").json()["total"], lambda total: total == 0)
    assert client.get(f"/runs/{run}").status_code == 404
    (tmp_path / "elsewhere").rename(tmp_path / "home" / "runs" / run)
    until(lambda: client.get("/runs").json()["total"], lambda total: total == 1)


@pytest.mark.parametrize("call", ["", "/metrics", "/log", "/checkpoints", "/samples", "/evaluations", "/predictions"])
def test_an_unknown_run_is_not_found(quiet: Client, call: str) -> None:
    response = quiet.get(f"/runs/20260101-000000-abcdef{call}")
    assert response.status_code == 404
    assert response.json()["detail"] == "there is no run 20260101-000000-abcdef"
