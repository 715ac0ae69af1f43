"""Replays over HTTP: a job's findings become part of the bundle's verdict, for as long as the bundle stays as it is."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence import job_folder, replay_job, rundir
from evidence.processes import identity
from tests.backend.client import Client, serving, until
from tests.backend.conftest import make_settings
from tests.evidence.tamper import edit_text, reseal
from tests.replay_job import REFUSED

GOING_ON = ("queued", "running")


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a stand-in run. Copy it."""
    place = tmp_path_factory.mktemp("proof")
    with serving(make_settings(place)) as client:
        run = client.launch(name="proof")
        client.until_state(run, "finished")
        client.post(f"/runs/{run}/seal", json={}).raise_for_status()
    return place / "submissions" / "proof"


@pytest.fixture
def place(proof: Path, tmp_path: Path) -> Iterator[Path]:
    """Where servers work; jobs that are still going on at the end are ended."""
    shutil.copytree(proof, tmp_path / "submissions" / "proof")
    yield tmp_path
    for folder in job_folder.folders(tmp_path / "home" / "replays"):
        replay_job.KIND.cancel(folder)


@pytest.fixture
def server(place: Path) -> Iterator[Client]:
    with serving(make_settings(place)) as client:
        yield client


def ask(client: Client, **request: Any) -> dict[str, Any]:
    response = client.post("/evidence/proof/replays", json=request)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    assert response.headers["Location"] == f"/replays/{found['id']}"
    return found


def show(client: Client, id: str) -> dict[str, Any]:
    return client.get(f"/replays/{id}").raise_for_status().json()  # type: ignore[no-any-return]


def ended(client: Client, id: str) -> dict[str, Any]:
    return until(lambda: show(client, id), lambda item: item["state"] not in GOING_ON)


def replayed(client: Client) -> dict[str, str]:
    checks = client.get("/evidence/proof").json()["results"]
    return {item["id"]: item["result"] for item in checks if item["cost"] == "replay"}


def test_what_a_replay_found_is_part_of_the_verdict(server: Client) -> None:
    assert set(replayed(server).values()) == {"not-run"}
    asked = ask(server)
    assert (asked["bundle"], asked["current"], asked["from_step"], asked["result"]) == ("proof", True, None, None)
    assert len(asked["draw"]) == 32  # the server's own nonce
    done = ended(server, asked["id"])
    assert (done["state"], done["message"]) == ("done", "")
    result = done["result"]
    assert result["agrees"] and result["bit_equal"] and result["control_noticed"]
    assert (result["tier"], result["chosen"], result["nonce"]) == ("T0", "drawn", asked["draw"])
    assert result["sentence"].endswith("give what the bundle says, to the last bit.")
    assert {item["what"] for item in result["compared"]} >= {"loss", "gradient norm"}
    assert all(item["within"] for item in result["compared"])
    assert result["predictions"] == {"items": 10, "same": 10, "ties": 0, "because": ""}
    assert set(replayed(server).values()) == {"pass"}
    assert [item["id"] for item in server.get("/evidence/proof/replays").json()["replays"]] == [asked["id"]]
    assert "step 1" in server.get(f"/replays/{asked['id']}/log").json()["text"]


def test_a_replay_that_differs_makes_the_bundle_fail(server: Client) -> None:
    done = ended(server, ask(server, draw="differs")["id"])
    assert done["state"] == "done"
    assert not done["result"]["agrees"]
    assert "do not agree with the bundle: RPL-01" in done["result"]["sentence"]
    assert server.get("/evidence/proof").json()["valid"] is False


def test_a_changed_bundle_forgets_its_replays(server: Client, place: Path) -> None:
    id = ended(server, ask(server)["id"])["id"]
    folder = place / "submissions" / "proof"
    edit_text("run_manifest.json", '"notes": []', '"notes": ["x"]')(folder)
    reseal(folder)
    assert set(replayed(server).values()) == {"not-run"}
    told = show(server, id)
    assert (told["state"], told["current"], told["result"]) == ("done", False, None)


def test_a_restart_knows_what_was_found(place: Path) -> None:
    with serving(make_settings(place)) as client:
        ended(client, ask(client)["id"])
    with serving(make_settings(place)) as client:
        assert set(replayed(client).values()) == {"pass"}


def test_one_goes_on_at_a_time_and_can_be_cancelled(server: Client, place: Path) -> None:
    slow, waiting = ask(server, draw="slow")["id"], ask(server)["id"]
    until(lambda: show(server, slow), lambda item: item["progress"] is not None)
    assert (show(server, slow)["state"], show(server, waiting)["queue_position"]) == ("running", 1)
    process = rundir.read_document(place / "home" / "replays" / slow / "launch.json")["process"]
    cancelled = server.post(f"/replays/{slow}/cancel").raise_for_status().json()
    assert (cancelled["state"], cancelled["message"]) == ("cancelled", "Cancelled on request.")
    until(lambda: identity(process["pid"]) != process, bool)
    assert ended(server, waiting)["state"] == "done"
    again = server.post(f"/replays/{slow}/cancel")
    assert again.status_code == 409
    assert again.json()["detail"] == f"replay {slow} is cancelled already; there is nothing to cancel"


def test_a_killed_server_loses_nothing(place: Path) -> None:
    with serving(make_settings(place)) as client:
        slow, waiting = ask(client, draw="slow")["id"], ask(client)["id"]
        until(lambda: show(client, slow), lambda item: item["state"] == "running")
    launch = place / "home" / "replays" / slow / "launch.json"
    with serving(make_settings(place)) as client:
        assert [show(client, id)["state"] for id in (slow, waiting)] == ["running", "queued"]
        os.kill(rundir.read_document(launch)["process"]["pid"], signal.SIGKILL)
        lost = ended(client, slow)
        assert lost["state"] == "failed"
        assert "killed by SIGKILL" in lost["message"] or "left no result" in lost["message"]
        assert ended(client, waiting)["state"] == "done"


@pytest.mark.parametrize(("draw", "message"), [("broken", REFUSED), ("crash", "SIGABRT")])
def test_a_job_that_fails_says_why(server: Client, draw: str, message: str) -> None:
    id = ask(server, draw=draw)["id"]
    failed = until(lambda: show(server, id), lambda item: message in item["message"])
    assert (failed["state"], failed["result"]) == ("failed", None)
    assert set(replayed(server).values()) == {"not-run"}


@pytest.mark.parametrize(
    ("request_", "field", "message"),
    [
        ({"from_step": 0}, "to_step", "to_step is missing; a segment is named by both its ends"),
        ({"from_step": 1, "to_step": 9}, "from_step", "begins at an included state"),
        ({"from_step": 0, "to_step": 4000}, "to_step", "to_step must be 1 to 40, got 4000"),
        ({"from_step": 0, "to_step": 5, "draw": "x"}, "draw", "named by its two ends, or drawn"),
        ({"draw": " x"}, "draw", "printable text"),
        ({"draw": "TODO"}, "draw", "no placeholder"),
        ({"colour": 1}, "colour", "there is no such field"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    server: Client, request_: dict[str, Any], field: str, message: str
) -> None:
    response = server.post("/evidence/proof/replays", json=request_)
    assert response.status_code == 422
    assert message in {item["field"]: item["message"] for item in response.json()["errors"]}[field]
    assert server.get("/evidence/proof/replays").json()["replays"] == []


def test_a_broken_bundle_cannot_be_replayed_and_an_unknown_one_is_not_found(server: Client, place: Path) -> None:
    assert server.post("/evidence/gone/replays", json={}).status_code == 404
    assert server.get("/evidence/gone/replays").status_code == 404
    assert server.get("/replays/20260101-000000-000000").status_code == 404
    (place / "submissions" / "proof" / "run_manifest.json").write_text("{}")
    response = server.post("/evidence/proof/replays", json={})
    assert response.status_code == 409
    assert "proof cannot be replayed" in response.json()["detail"]
