"""kill -9, anywhere: at least two hundred in the gate; thousands by ``python -m tests.faults.storm``."""

from __future__ import annotations

from pathlib import Path

from tests.faults import servers
from tests.faults.storm import storm


def test_two_hundred_kills_lose_no_row_and_double_none(tmp_path: Path) -> None:
    assert storm(tmp_path, 200, seed=5) > 100


def test_servers_recorders_and_trainers_are_killed(tmp_path: Path) -> None:
    assert servers.storm(tmp_path, 8, seed=11) > 10
