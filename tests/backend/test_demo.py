"""The first run on an empty data folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backend.settings import Settings
from tests.backend.client import serving
from tests.backend.conftest import make_settings


def test_an_empty_data_folder_begins_with_the_demo_and_only_an_empty_one(tmp_path: Path) -> None:
    settings = replace(make_settings(tmp_path), demo=True, configs=Settings().configs)
    with serving(settings) as client:
        [run] = client.get("/runs").json()["runs"]
        assert (run["name"], run["tags"]) == ("demo_reasoning", ["demo"])
        ended = client.until_state(run["id"], "finished", "failed", "lost", "stopped")
        assert (ended["state"], ended["step"]) == ("finished", ended["steps"])
    with serving(settings) as client:
        assert [item["id"] for item in client.get("/runs").json()["runs"]] == [run["id"]]


def test_a_demo_that_cannot_be_launched_does_not_keep_the_server_from_starting(tmp_path: Path) -> None:
    with serving(replace(make_settings(tmp_path), demo=True)) as client:  # its configs have no demo
        assert client.get("/runs").json()["total"] == 0
