"""What a row says of its devices reaches the index, the metrics call and the export; what it does not say is null."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evidence import attempts, events
from tests.backend.client import Client

KEYS = ("tokens_per_second", "model_flops_utilization", "device_memory_bytes", "device_memory_peak_bytes")


def test_what_is_told_of_a_step_is_shown_and_what_is_not_is_null(client: Client, tmp_path: Path) -> None:
    run = client.launch(overrides={"training.steps": 5})
    client.until_state(run, "finished")
    place = tmp_path / "home" / "runs" / run / "events.jsonl"
    row = attempts.last(attempts.told(place.parent), events.Step)
    assert row is not None
    told = {"model_flops_utilization": 0.41, "device_memory_bytes": 5_900_000_000, "device_memory_peak_bytes": 6 << 30}
    with place.open("a") as stream:
        stream.write(events.encode(events.chained(replace(row, step=6, prev=row.hash, **told))) + "\n")
    client.until(run, lambda item: item["step"] == 6)
    columns = client.get(f"/runs/{run}/metrics", params={"keys": ",".join(KEYS)}).json()["columns"]
    for name, value in told.items():
        assert columns[name] == [None] * 5 + [value]
    assert columns["tokens_per_second"][-1] == row.tokens_per_second
    lines = client.get(f"/runs/{run}/export.csv").text.splitlines()
    assert lines[0].endswith("model_flops_utilization,device_memory_bytes,device_memory_peak_bytes")
    assert lines[1].endswith(",,,")
    assert lines[6].endswith(f",0.41,5900000000.0,{6 << 30}.0")


def test_a_row_of_before_says_no_speed_and_gets_that_of_its_tokens(client: Client, tmp_path: Path) -> None:
    run = client.launch(overrides={"training.steps": 5})
    client.until_state(run, "finished")
    place = tmp_path / "home" / "runs" / run / "events.jsonl"
    row = attempts.last(attempts.told(place.parent), events.Step)
    assert row is not None
    with place.open("a") as stream:
        older = replace(row, step=6, tokens=row.tokens * 6 // 5, prev=row.hash, tokens_per_second=0.0)
        stream.write(events.encode(events.chained(older)) + "\n")
    shown = client.until(run, lambda item: item["step"] == 6)
    assert shown["tokens_per_second"] == row.tokens / 5 / row.step_seconds
