"""Resume, rerun, labels and trash, through the server: two at once, restarts, and what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence import attempts, events, rundir
from tests import runs
from tests.backend.client import Client, serving, until
from tests.backend.conftest import delete_index, make_settings

LONG = {"training.steps": 60, "checkpoints.every_steps": 10}
ENDLESS = {"training.steps": 5000, "checkpoints.every_steps": 10}
STUBBORN = ("sh", "-c", "trap '' TERM; touch \"$0/up\"; while true; do sleep 0.05; done")


def _killed(client: Client, place: Path, overrides: dict[str, Any] = LONG) -> tuple[str, Path]:
    """A run whose trainer was killed at step 17 or a little later; a state after step 10 is saved."""
    run = client.launch(overrides=overrides)
    folder = place / "home" / "runs" / run
    runs.wait_for(lambda: b'"step":17,' in runs.log_of(folder))
    runs.kill_trainer(folder)
    client.until_state(run, "failed")
    return run, folder


def _both(ask: Any) -> list[httpx.Response]:
    """The answers to the same question, asked twice at once; the luckier one first."""
    with ThreadPoolExecutor(2) as pool:
        return sorted(pool.map(lambda _: ask(), range(2)), key=lambda answer: answer.status_code)


def test_a_run_that_was_killed_goes_on_and_finishes(slow: Client, tmp_path: Path) -> None:
    run, folder = _killed(slow, tmp_path)
    answer = slow.post(f"/runs/{run}/resume")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    ended = slow.until_state(run, "finished", "lost", "stopped")
    assert (ended["state"], ended["step"], ended["launch"]["attempt"]) == ("finished", 60, 2)
    resumed = attempts.last(attempts.told(folder), events.Resumed)
    assert resumed is not None
    assert slow.get(f"/runs/{run}/metrics").json()["step"] == list(range(1, 61))
    refused = slow.post(f"/runs/{run}/resume")
    assert (refused.status_code, refused.json()["detail"]) == (409, f"run {run} is finished: all 60 steps are done")


def test_of_two_who_resume_at_once_one_wins(slow: Client, tmp_path: Path) -> None:
    run, folder = _killed(slow, tmp_path)
    won, lost = _both(lambda: slow.post(f"/runs/{run}/resume"))
    assert (won.status_code, lost.status_code) == (202, 409)
    assert run in lost.json()["detail"]
    slow.until_state(run, "finished")
    assert len([event for event in attempts.told(folder) if isinstance(event, events.Resumed)]) == 1


def test_a_resumed_run_waits_for_its_device_and_can_be_taken_back(slow: Client, tmp_path: Path) -> None:
    run, folder = _killed(slow, tmp_path)
    reason = slow.get(f"/runs/{run}").json()["reason"]
    busy = slow.launch(overrides=ENDLESS)
    slow.until_state(busy, "running")
    waiting = slow.post(f"/runs/{run}/resume").json()
    assert (waiting["state"], waiting["queue_position"], waiting["error"]) == ("queued", 1, None)
    assert waiting["reason"] == "Waits to go on after step 10. Waits for the cpu: tiny is running on it."
    assert slow.post(f"/runs/{run}/resume").json()["detail"] == (
        f"run {run} waits to go on already; stop takes that back"
    )
    for refused in (slow.delete(f"/runs/{run}"), slow.post(f"/runs/{run}/seal", json={"name": "early"})):
        assert (refused.status_code, "is queued" in refused.json()["detail"]) == (409, True)
    taken_back = slow.post(f"/runs/{run}/stop").json()
    assert (taken_back["state"], taken_back["reason"]) == ("failed", reason)
    assert not (folder / rundir.RESUME).exists()
    assert slow.post(f"/runs/{run}/stop").status_code == 409
    slow.post(f"/runs/{busy}/stop")
    slow.until_state(busy, "stopped")
    assert slow.get(f"/runs/{run}").json()["state"] == "failed"
    assert slow.post(f"/runs/{run}/resume").status_code == 202
    assert slow.until_state(run, "finished")["launch"]["attempt"] == 2


def test_what_waits_to_go_on_waits_across_a_restart(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, 0.02)
    with serving(settings) as client:
        run, folder = _killed(client, tmp_path)
        busy = client.launch(overrides=ENDLESS)
        client.until_state(busy, "running")
        client.post(f"/runs/{run}/resume")
    with serving(settings) as client:
        shown = client.get(f"/runs/{run}").json()
        assert (shown["state"], shown["reason"].startswith("Waits to go on after step 10.")) == ("queued", True)
        client.post(f"/runs/{busy}/stop")
        client.until_state(run, "finished")
    # A server that dies between the intent and its index finds it in the folder.
    run_2 = ""
    with serving(settings) as client:
        run_2, folder = _killed(client, tmp_path)
    attempts.ask(folder)
    with serving(settings) as client:
        client.until_state(run_2, "finished")


def test_a_resumed_run_is_stopped_like_any_other(slow: Client, tmp_path: Path) -> None:
    run, _ = _killed(slow, tmp_path, ENDLESS)
    slow.post(f"/runs/{run}/resume")
    assert slow.post(f"/runs/{run}/stop").status_code == 202  # at once: it waits for the recorder it has started
    assert slow.until_state(run, "stopped", "failed", "finished")["state"] == "stopped"
    assert slow.post(f"/runs/{run}/resume").status_code == 202
    slow.until(run, lambda item: item["state"] == "running" and item["step"] > 20)
    assert slow.get(f"/runs/{run}").json()["launch"]["attempt"] >= 2


def test_of_two_who_stop_at_once_one_wins(tmp_path: Path) -> None:
    with serving(make_settings(tmp_path, 0.02, trainer_command=STUBBORN)) as client:
        run = client.launch()
        runs.wait_for((tmp_path / "home" / "runs" / run / "up").exists)
        won, lost = _both(lambda: client.post(f"/runs/{run}/stop"))
        assert (won.status_code, lost.status_code) == (202, 409)
        assert lost.json()["detail"] == (f"run {run} was asked to stop already; kill does not wait until it has saved")
        assert client.until_state(run, "stopping")["reason"].startswith("Stop requested")
        # It does not listen; who cannot wait kills it.
        first, second = _both(lambda: client.post(f"/runs/{run}/kill"))
        assert (first.status_code, second.status_code in (202, 409)) == (202, True)
        ended = client.until_state(run, "stopped")
        assert ended["reason"] == "Killed on request, with no time to save; what it saved before is kept."


def test_a_killed_run_goes_on_from_what_it_saved(slow: Client, tmp_path: Path) -> None:
    run = slow.launch(overrides=LONG)
    folder = tmp_path / "home" / "runs" / run
    runs.wait_for(lambda: b'"step":17,' in runs.log_of(folder))
    answer = slow.post(f"/runs/{run}/kill")
    assert answer.status_code == 202, answer.text
    killed = slow.until_state(run, "stopped", "failed", "finished")
    assert (killed["state"], killed["step"] >= 17, killed["error"]) == ("stopped", True, None)
    assert killed["reason"].startswith("Killed on request")
    assert rundir.read_document(folder / rundir.EXIT)["signal"] == "SIGKILL"
    again = slow.post(f"/runs/{run}/kill")
    assert (again.status_code, again.json()["detail"]) == (
        409,
        f"run {run} has ended already; there is nothing to kill",
    )
    assert slow.post(f"/runs/{run}/resume").status_code == 202
    ended = slow.until_state(run, "finished", "failed", "stopped", "lost")
    assert (ended["state"], ended["reason"], ended["launch"]["attempt"]) == ("finished", "", 2)
    assert (folder / rundir.ATTEMPTS / "1" / rundir.KILL).exists()
    assert slow.post(f"/runs/{run}/seal", json={"name": "killed"}).status_code == 201


def test_a_kill_right_after_the_launch_kills(slow: Client, tmp_path: Path) -> None:
    """The recorder may have no trainer yet: it reads what was asked."""
    run = slow.launch(overrides=ENDLESS)
    assert slow.post(f"/runs/{run}/kill").status_code == 202
    assert slow.until_state(run, "stopped", "failed", "lost")["reason"].startswith("Killed on request")
    waiting = [slow.launch(overrides=ENDLESS) for _ in range(2)][1]
    refused = slow.post(f"/runs/{waiting}/kill")
    assert (refused.status_code, "stop takes it back" in refused.json()["detail"]) == (409, True)
    slow.post(f"/runs/{waiting}/stop")
    assert slow.post(f"/runs/{waiting}/kill").status_code == 409
    assert slow.post("/runs/x/kill").status_code == 404


def test_runs_change_places_in_the_queue(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, 0.02)
    with serving(settings) as client:
        busy = client.launch(name="busy", overrides=ENDLESS)
        a, b, c = (client.launch(name=name, overrides={"training.steps": 5}) for name in "abc")
        client.until_state(busy, "running")
        assert _line(client, a, b, c) == [1, 2, 3]
        reasons = [client.get(f"/runs/{run}").json()["reason"] for run in (a, b, c)]
        assert reasons == [
            "Waits for the cpu: busy is running on it.",
            "Waits for the cpu: busy is running on it and 1 run is before it.",
            "Waits for the cpu: busy is running on it and 2 runs are before it.",
        ]
        moved = client.post(f"/runs/{c}/move", json={"position": 1})
        assert (moved.status_code, moved.json()["queue_position"]) == (200, 1)
        assert _line(client, a, b, c) == [2, 3, 1]
        assert client.post(f"/runs/{a}/move", json={"position": 99}).json()["queue_position"] == 3
        assert _line(client, a, b, c) == [3, 2, 1]
        for run in (busy, "x"):
            assert client.post(f"/runs/{run}/move", json={"position": 1}).status_code in (404, 409)
        for wrong in ({}, {"position": 0}, {"position": "first"}):
            assert client.post(f"/runs/{a}/move", json=wrong).status_code == 422
        # Half of a move, as a server leaves it that dies in it, is mended by the next one.
        rundir.write_document(tmp_path / "home" / "runs" / a / rundir.TURN, {"turn": b})
        assert client.post(f"/runs/{b}/move", json={"position": 1}).json()["queue_position"] == 1
        assert client.post(f"/runs/{c}/move", json={"position": 2}).json()["queue_position"] == 2
        before = client.get("/runs").json()["runs"]
    delete_index(tmp_path / "home")
    with serving(settings) as client:
        assert until(lambda: _line(client, a, b, c), lambda line: line == [3, 1, 2]) == [3, 1, 2]
        shown = {run["id"]: run for run in client.get("/runs").json()["runs"]}
        assert [shown[run["id"]]["queue_position"] for run in before] == [run["queue_position"] for run in before]
        client.post(f"/runs/{busy}/kill")
        for run in (a, b, c):
            client.until_state(run, "finished")
        started = {
            name: client.get(f"/runs/{run}").json()["started_at"] for name, run in {"a": a, "b": b, "c": c}.items()
        }
        assert sorted("abc", key=lambda name: started[name]) == ["b", "c", "a"]


def _line(client: Client, *ids: str) -> list[int | None]:
    return [client.get(f"/runs/{run}").json()["queue_position"] for run in ids]


def test_what_never_spoke_cannot_be_resumed(slow: Client) -> None:
    busy = slow.launch(overrides=ENDLESS)
    waiting = slow.launch(overrides=LONG)
    assert "there is nothing to resume" in slow.post(f"/runs/{waiting}/resume").json()["detail"]
    slow.post(f"/runs/{waiting}/stop")
    assert slow.post(f"/runs/{waiting}/resume").status_code == 409
    slow.until_state(busy, "running")
    assert "only a run that has ended" in slow.post(f"/runs/{busy}/resume").json()["detail"]
    assert slow.post("/runs/x/resume").status_code == 404


def test_a_rerun_asks_for_the_same_once_more(client: Client, tmp_path: Path) -> None:
    first = client.launch(name="base", tags=["kept"], overrides={"training.steps": 7, "training.seed": 3})
    answer = client.post(f"/runs/{first}/rerun", json={})
    assert answer.status_code == 201, answer.text
    again = answer.json()
    assert answer.headers["Location"] == f"/runs/{again['id']}"
    before = client.get(f"/runs/{first}").json()
    same = ("spec", "overrides", "config_text", "config", "name", "tags")
    assert {key: again[key] for key in same} == {key: before[key] for key in same}
    assert again["nonce"] != before["nonce"]
    other = client.post(f"/runs/{first}/rerun", json={"name": "other", "overrides": {"training.steps": 5}}).json()
    assert (other["name"], other["steps"], other["spec"]["training"]["seed"]) == ("other", 5, 3)
    back = client.post(f"/runs/{first}/rerun", json={"overrides": {"training.steps": 40}}).json()
    assert "training.steps" not in [item["key"] for item in back["overrides"]]
    for run in (first, again["id"], other["id"], back["id"]):
        client.until_state(run, "finished")
    refused = client.post(f"/runs/{first}/rerun", json={"overrides": {"training.steps": 0}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "training.steps")
    assert client.post(f"/runs/{first}/rerun", json={"name": "a/b"}).status_code == 422
    (tmp_path / "home" / "data" / "rows.jsonl").unlink()
    gone = client.post(f"/runs/{first}/rerun", json={})
    assert (gone.status_code, gone.json()["errors"][0]["field"]) == (422, "data.train_path")


def test_labels_change_nothing_of_what_was_asked(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with serving(settings) as client:
        run, other = client.launch(name="before", tags=["old"], notes="first"), client.launch()
        folder = tmp_path / "home" / "runs" / run
        asked = (folder / rundir.SPEC).read_bytes()
        changed = {"name": "after", "tags": ["a", "b", "a"], "archived": True}
        client.until_state(other, "finished")
        answer = client.patch(f"/runs/{run}", json=changed)
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        assert (shown["name"], shown["tags"], shown["archived"], shown["notes"]) == ("after", ["a", "b"], True, "first")
        assert (folder / rundir.SPEC).read_bytes() == asked
        listed = {archived: _ids(client, archived=archived) for archived in ("true", "false", "")}
        assert listed == {"true": [run], "false": [other], "": [other, run]}
        assert _ids(client, tag="b") == [run]
        assert _ids(client, q="after") == [run]
        for wrong in ({"name": "a/b"}, {"tags": [""]}, {"colour": "red"}, {"archived": "perhaps"}):
            assert client.patch(f"/runs/{run}", json=wrong).status_code == 422
        before = client.get("/runs").json()["runs"]
    for path in (tmp_path / "home").glob("assay.db*"):
        path.unlink()
    with serving(settings) as client:
        client.until_state(other, "finished")
        assert until(lambda: client.get("/runs").json()["runs"], lambda rows: rows == before) == before
        assert client.patch(f"/runs/{run}", json={"notes": "", "archived": False}).json()["notes"] == ""
        # Somebody writes the file by hand, and breaks it.
        (folder / rundir.LABELS).unlink()
        rundir.write_document(folder / rundir.LABELS, {"schema": "other"})
        assert client.until(run, lambda item: item["name"] == "before")["tags"] == ["old"]
        assert client.patch(f"/runs/{run}", json={"name": "mended"}).json()["name"] == "mended"


def _ids(client: Client, **query: str) -> list[str]:
    query = {key: value for key, value in query.items() if value}
    return [run["id"] for run in client.get("/runs", params=query).raise_for_status().json()["runs"]]


def test_of_two_labels_given_at_once_both_stay(client: Client) -> None:
    run = client.launch()
    with ThreadPoolExecutor(4) as pool:
        asks = [{"name": "n1"}, {"notes": "n2"}, {"tags": ["n3"]}, {"archived": True}]
        assert all(
            answer.status_code == 200 for answer in pool.map(lambda ask: client.patch(f"/runs/{run}", json=ask), asks)
        )
    shown = client.get(f"/runs/{run}").json()
    assert (shown["name"], shown["notes"], shown["tags"], shown["archived"]) == ("n1", "n2", ["n3"], True)


def test_a_deleted_run_can_be_had_back_until_it_is_removed(client: Client, tmp_path: Path) -> None:
    run = client.launch(name="kept")
    client.until_state(run, "finished")
    assert client.post(f"/runs/{run}/seal", json={}).status_code == 201
    client.patch(f"/runs/{run}", json={"name": "renamed"})
    paths = ("", "/metrics", "/evaluations", "/samples", "/checkpoints")
    before = [client.get(f"/runs/{run}{path}").json() for path in paths]
    won, lost = _both(lambda: client.delete(f"/runs/{run}"))
    assert (won.status_code, lost.status_code in (404, 409)) == (204, True)
    assert client.get(f"/runs/{run}").status_code == 404
    assert client.get("/runs").json()["total"] == 0
    for refused in (
        client.post(f"/runs/{run}/stop"),
        client.post(f"/runs/{run}/resume"),
        client.delete(f"/runs/{run}"),
    ):
        assert refused.status_code == 404
    trash = client.get("/trash").json()
    (item,) = trash["runs"]
    assert (item["id"], item["name"], item["state"], item["step"], item["steps"]) == (
        run,
        "renamed",
        "finished",
        40,
        40,
    )
    assert trash["bytes"] == item["bytes"] > 0
    assert item["deleted_at"] > item["created_at"]
    assert client.get("/evidence/kept").status_code == 200

    won, lost = _both(lambda: client.post(f"/trash/{run}/restore"))
    assert (won.status_code, lost.status_code in (404, 409)) == (200, True)
    assert [client.get(f"/runs/{run}{path}").json() for path in paths] == before
    assert client.get("/trash").json() == {"runs": [], "bytes": 0}
    assert not (tmp_path / "home" / "runs" / run / rundir.TRASHED).exists()

    client.delete(f"/runs/{run}")
    won, lost = _both(lambda: client.delete(f"/trash/{run}"))
    assert (won.status_code, lost.status_code) == (204, 404)
    assert list((tmp_path / "home" / "trash").iterdir()) == []
    assert client.post(f"/trash/{run}/restore").json()["detail"] == f"there is no run {run} in the trash"
    assert client.get("/evidence/kept").status_code == 200


def test_a_run_that_lives_is_not_deleted(slow: Client) -> None:
    run = slow.launch(overrides=ENDLESS)
    slow.until_state(run, "running")
    refused = slow.delete(f"/runs/{run}")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        f"run {run} is running; stop it, then it can be deleted",
    )


def test_the_trash_is_emptied_at_once_and_outlives_the_server(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with serving(settings) as client:
        first, second = client.launch(overrides={"training.steps": 5}), client.launch(overrides={"training.steps": 5})
        for run in (first, second):
            client.until_state(run, "finished")
            assert client.delete(f"/runs/{run}").status_code == 204
    half = tmp_path / "home" / "trash" / f".gone-{first}-0000"
    half.mkdir()
    with serving(settings) as client:
        assert not half.exists()
        assert [item["id"] for item in client.get("/trash").json()["runs"]] == [second, first]
        (tmp_path / "home" / "trash" / first / rundir.TRASHED).write_text("{")
        assert client.get("/trash").json()["runs"][-1]["state"] is None
        assert client.delete("/trash").status_code == 204
        assert client.get("/trash").json()["runs"] == []


@pytest.mark.parametrize("name", ["..", "x", "20260101-000000-abcdef", "%2e%2e%2fruns"])
def test_nothing_but_a_run_is_in_the_trash(quiet: Client, name: str) -> None:
    assert quiet.delete(f"/trash/{name}").status_code in (404, 405)
    assert quiet.post(f"/trash/{name}/restore").status_code in (404, 405)


def test_a_run_is_not_deleted_while_somebody_seals_it(client: Client, tmp_path: Path) -> None:
    run = client.launch(overrides={"training.steps": 5})
    client.until_state(run, "finished")
    with attempts.held(tmp_path / "home" / "runs" / run):
        for refused in (client.delete(f"/runs/{run}"), client.post(f"/runs/{run}/seal", json={})):
            assert (refused.status_code, "by somebody else at this moment" in refused.json()["detail"]) == (409, True)
    assert client.delete(f"/runs/{run}").status_code == 204


@pytest.mark.parametrize("name", [rundir.LAUNCH, rundir.PROCESS, rundir.RESUME])
def test_of_a_run_whose_documents_are_broken_that_is_said_and_it_can_be_deleted(
    client: Client, tmp_path: Path, name: str
) -> None:
    run = client.launch(overrides={"training.steps": 5})
    client.until_state(run, "finished")
    (tmp_path / "home" / "runs" / run / name).write_text("{")
    for answer in (client.post(f"/runs/{run}/resume"), client.post(f"/runs/{run}/stop")):
        assert answer.status_code == 409, answer.text
        assert "ended already" in answer.text or "is finished" in answer.text or name in answer.text
    assert client.delete(f"/runs/{run}").status_code == 204
    assert client.post(f"/trash/{run}/restore").status_code == 200
