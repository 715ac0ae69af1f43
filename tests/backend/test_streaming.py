"""GET /stream: every step exactly once, whatever happens in between."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.runs.stream import Place, cursor_text, parse_cursor
from tests.backend.client import Client, Message


def _steps(messages: Iterable[Message]) -> list[int]:
    return [step for message in messages if message.event == "metrics" for step in message.data["columns"]["step"]]


def _until(messages: Iterable[Message], wanted: Callable[[list[Message]], bool]) -> list[Message]:
    seen: list[Message] = []
    for message in messages:
        seen.append(message)
        if wanted(seen):
            break
    return seen


def _ended(seen: list[Message]) -> bool:
    last = seen[-1]
    return last.event == "summary" and last.data["state"] == "finished"


def test_a_live_run_is_told_from_its_first_step_to_its_end(slow: Client) -> None:
    run = slow.launch()
    seen = _until(slow.messages(runs=run), _ended)
    assert seen[0].event == "hello"
    assert _steps(seen) == list(range(1, 41))
    kinds = [event["kind"] for message in seen if message.event == "events" for event in message.data["events"]]
    assert kinds[0] == "run_start"
    assert kinds[-1] == "finished"
    assert "step" not in kinds
    states = [message.data["state"] for message in seen if message.event == "summary"]
    assert "running" in states
    block = next(message for message in seen if message.event == "metrics").data
    assert {len(values) for values in block["columns"].values()} == {len(block["columns"]["step"])}


def test_a_stream_resumes_behind_the_last_message_it_sent(slow: Client) -> None:
    run = slow.launch()
    seen: list[Message] = []
    for _ in range(4):
        last = next((message.id for message in reversed(seen) if message.id), None)
        seen += _until(slow.messages(runs=run, last_event_id=last), lambda part: part[-1].event == "metrics")
    last = next(message.id for message in reversed(seen) if message.id)
    seen += _until(slow.messages(runs=run, cursor=last), _ended)
    assert _steps(seen) == list(range(1, 41))


def test_history_is_the_same_read_as_live(finished: tuple[Client, str, Callable[[], Path]]) -> None:
    client, run, _ = finished
    assert _steps(_until(client.messages(runs=run), lambda seen: _steps(seen)[-1:] == [40])) == list(range(1, 41))


def test_a_stream_goes_on_behind_the_columns_that_were_read(slow: Client) -> None:
    run = slow.launch()
    slow.until(run, lambda item: item["step"] > 5)
    head, _, data = slow.get(f"/runs/{run}/columns?keys=loss").content.partition(b"\n")
    found = json.loads(head)
    known = [int(step) for step in struct.unpack(f"<{found['rows']}d", data[: 8 * found["rows"]])]
    seen = _until(slow.messages(runs=run, cursor=found["cursor"]), _ended)
    assert known + _steps(seen) == list(range(1, 41))
    assert [message.event for message in seen if message.event == "events"]  # they are not in the columns


def test_the_log_comes_without_the_events_it_repeats(finished: tuple[Client, str, Callable[[], Path]]) -> None:
    client, run, folder = finished
    seen = _until(client.messages(runs=run, log=1), lambda seen: seen[-1].event == "log")
    output = (folder() / "output.log").read_text()
    assert ":::EVID" in output
    assert seen[-1].data["text"] == "".join(
        line for line in output.splitlines(keepends=True) if not line.startswith(":::EVID ")
    )
    assert seen[-1].data["offset"] == len(output.encode())


def test_a_listing_stream_tells_of_runs_it_does_not_follow(client: Client) -> None:
    messages = client.messages(list=1)
    assert next(messages).event == "hello"
    run = client.launch()
    seen = _until(messages, lambda seen: _ended(seen))
    assert {message.data["id"] for message in seen} == {run}
    assert {message.event for message in seen} == {"summary"}


def test_a_listing_stream_tells_that_a_run_is_gone_and_that_it_came_back(client: Client) -> None:
    run = client.launch()
    for messages in (client.messages(list=1), client.messages(runs=run)):
        _until(messages, _ended)
        assert client.delete(f"/runs/{run}").status_code == 204
        seen = _until(messages, lambda seen: seen[-1].event == "gone")
        assert seen[-1].data == {"run": run}
        assert client.post(f"/trash/{run}/restore").status_code == 200
        seen = _until(messages, _ended)
        assert not [message for message in seen if message.event == "gone"]


def test_an_unknown_run_is_refused_before_the_stream_begins(quiet: Client) -> None:
    response = quiet.get("/stream", params={"runs": "20260101-000000-abcdef"})
    assert response.status_code == 404


@pytest.mark.parametrize("cursor", ["x", "20260101-000000-abcdef", "20260101-000000-abcdef:1:-1", "a:1:2", ","])
def test_a_cursor_that_no_stream_sent_is_refused(quiet: Client, cursor: str) -> None:
    response = quiet.get("/stream", headers={"Last-Event-ID": cursor})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "cursor"


_IDS = ["20260101-000000-abcdef", "20261231-235959-012345"]
_OFFSETS = st.integers(0, 10**15 - 1)
_PLACES: Any = st.builds(Place, st.sampled_from(_IDS), _OFFSETS, _OFFSETS,
                         st.integers(-1, 10**15 - 1))  # fmt: skip


@given(st.lists(_PLACES, max_size=5))
def test_a_cursor_is_read_as_it_was_written(places: list[Place]) -> None:
    assert parse_cursor(cursor_text(places)) == places
