"""A run that is resumed beside the server: each step once, the later row, and the state of the latest attempt."""

from __future__ import annotations

from pathlib import Path

from evidence import attempts, events, receipts, record
from evidence.known import Known
from evidence.trust import WITNESS, Key, Trust, read_public
from evidence.verify import verify
from tests import runs
from tests.backend.client import Client, serving, until
from tests.backend.conftest import delete_index, make_settings

LONG = {"training.steps": 60, "checkpoints.every_steps": 10}


def test_steps_done_twice_stand_once_as_they_were_done_last(slow: Client, tmp_path: Path) -> None:
    run = slow.launch(overrides=LONG)
    folder = tmp_path / "home" / "runs" / run
    runs.wait_for(lambda: b'"step":17,' in runs.log_of(folder))
    runs.kill_trainer(folder)
    assert slow.until_state(run, "failed")["step"] >= 17
    until(lambda: slow.get(f"/runs/{run}/metrics").json()["step"], lambda steps: steps[-1] >= 17)
    record.launch(folder, [*runs.STAND_IN, str(folder), "--step-seconds", "0.03"], resume=True)
    assert slow.until_state(run, "starting", "running")["error"] is None
    ended = slow.until_state(run, "finished")
    assert (ended["step"], ended["reason"]) == (60, "")
    assert len(ended["spark"]) == 31
    stands = attempts.standing((event, event) for event in attempts.told(folder))
    rows = [event for event, _ in stands if isinstance(event, events.Step)]
    shown = slow.get(f"/runs/{run}/metrics").json()
    assert shown["step"] == list(range(1, 61))
    assert shown["columns"]["loss"] == [row.loss for row in rows]
    assert shown["columns"]["step_seconds"] == [row.step_seconds for row in rows]
    assert [item["step"] for item in slow.get(f"/runs/{run}/checkpoints").json()["checkpoints"]] == [*range(0, 61, 10)]
    sealed = slow.post(f"/runs/{run}/seal", json={})
    assert sealed.status_code == 201, sealed.text


def test_a_witness_may_have_seen_rows_that_were_taken_back(tmp_path: Path) -> None:
    with serving(make_settings(tmp_path, 0.1)) as client:
        run = client.launch(name="seen", overrides={"training.steps": 60, "checkpoints.every_steps": 30})
        folder = tmp_path / "home" / "runs" / run
        runs.wait_for(lambda: b'"step":57,' in runs.log_of(folder))
        runs.kill_trainer(folder)
        client.until_state(run, "failed")
        count = len(until(lambda: _seen(folder), lambda steps: bool(steps) and steps[-1] >= 57))
        record.launch(folder, [*runs.STAND_IN, str(folder), "--step-seconds", "0.1"], resume=True)
        client.until_state(run, "starting", "running")
        client.until_state(run, "finished")
        assert client.post(f"/runs/{run}/seal", json={}).status_code == 201
    steps = _seen(folder)
    assert max(steps[:count]) >= 57
    assert steps[-1] == 60
    assert steps != sorted(steps)
    key = Key("server", WITNESS, read_public(tmp_path / "home" / "keys" / "witness.pub"))
    verdict = verify(tmp_path / "submissions" / "seen", known=Known(trust=Trust((key,))))
    assert verdict.failures == ()
    assert {item.id: item.reason for item in verdict.results}["SIG-06"].startswith(
        "the receipts hold, but server ran on"
    )


def _seen(folder: Path) -> list[int]:
    """The steps whose rows the witness has countersigned, in its order."""
    said = [receipts.read(line) for line in (folder / "witness.jsonl").read_bytes().splitlines()]
    return [item.step for item in said if isinstance(item, receipts.Head)]


def test_an_index_made_anew_knows_a_resumed_run_alike(tmp_path: Path) -> None:
    home = make_settings(tmp_path, 0.02)
    with serving(home) as client:
        run = client.launch(overrides=LONG)
        folder = tmp_path / "home" / "runs" / run
        runs.wait_for(lambda: b'"step":17,' in runs.log_of(folder))
        runs.kill_trainer(folder)
        client.until_state(run, "failed")
        record.launch(folder, [*runs.STAND_IN, str(folder)], resume=True)
        client.until_state(run, "starting", "running", "finished")
        client.until_state(run, "finished")
        before = [client.get(f"/runs/{run}{path}").json() for path in ("", "/metrics", "/evaluations", "/samples")]
    delete_index(tmp_path / "home")
    with serving(home) as client:
        client.until_state(run, "finished")
        after = [client.get(f"/runs/{run}{path}").json() for path in ("", "/metrics", "/evaluations", "/samples")]
        assert after == before


def test_a_run_taken_back_and_not_gone_on_with_stands_where_it_was_taken_back_to(slow: Client, tmp_path: Path) -> None:
    run = slow.launch(overrides=LONG)
    folder = tmp_path / "home" / "runs" / run
    runs.wait_for(lambda: b'"step":17,' in runs.log_of(folder))
    runs.kill_trainer(folder)
    slow.until_state(run, "failed")
    with (folder / "events.jsonl").open("a") as stream:
        saved = attempts.last(attempts.told(folder), events.Checkpoint)
        assert saved is not None
        event = events.Resumed(
            time=events.now(), attempt=2, step=saved.step, checkpoint=saved.path, chain_at_step=saved.chain_at_step
        )
        stream.write(events.encode(event) + "\n")
    shown = slow.until(run, lambda item: item["step"] == saved.step)
    columns = slow.get(f"/runs/{run}/metrics").json()
    assert columns["step"] == list(range(1, saved.step + 1))
    assert (shown["loss"], len(shown["spark"])) == (columns["columns"]["loss"][-1], saved.step // 2 + 1)
