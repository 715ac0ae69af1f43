from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.settings import Settings
from tests.backend.client import Client, serving

TINY = """\
name: tiny
description: A tiny run of a stand-in trainer.
model: {vocab_size: 259, hidden_size: 8, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2,
        num_key_value_heads: 1, head_dim: 4, max_position_embeddings: 64}
data: {train_path: rows.jsonl, eval_rows: 10}
training: {steps: 40, batch_size: 4, sequence_length: 32}
optimizer: {learning_rate: 0.01, schedule: cosine, warmup_steps: 4}
"""


PREFLIGHT_JOB = (sys.executable, "-m", "tests.preflight_job")
REPLAY_JOB = (sys.executable, "-m", "tests.replay_job")


_postgres = ""


@pytest.fixture(scope="session", autouse=True)
def _index_in_postgres() -> Iterator[None]:
    """With ASSAY_TEST_POSTGRES=1, every test's index is kept in a real PostgreSQL server."""
    global _postgres
    if not os.environ.get("ASSAY_TEST_POSTGRES"):
        yield
        return
    from tests import postgres

    with postgres.server() as _postgres:
        yield


def database_url(home: Path) -> str:
    """Of the index of ``home``; empty for a file in it."""
    if not _postgres:
        return ""
    from tests import postgres

    return postgres.database(_postgres, home)


def delete_index(home: Path) -> None:
    for path in home.glob("assay.db*"):
        path.unlink()
    if url := database_url(home):
        from tests import postgres

        postgres.drop(url)
        database_url(home)


def trainer(step_seconds: float) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.backend.trainer", str(step_seconds))


def make_home(place: Path) -> Path:
    """A data folder with a file of rows in it, beside a folder of configs."""
    (place / "home" / "data").mkdir(parents=True)
    row = json.dumps({"prompt": "1+1=", "answer": "#### 2"})
    (place / "home" / "data" / "rows.jsonl").write_text(f"{row}\n" * 20)
    (place / "configs").mkdir()
    (place / "configs" / "tiny.yaml").write_text(TINY)
    return place / "home"


def make_settings(place: Path, step_seconds: float = 0.001, **more: Any) -> Settings:
    home = make_home(place) if not (place / "home").exists() else place / "home"
    parts: dict[str, Any] = {
        "home": home,
        "database_url": database_url(home),
        "demo": False,
        "submissions": place / "submissions",
        "configs": place / "configs",
        "page": place / "page",
        "trainer_command": trainer(step_seconds),
        "preflight_command": PREFLIGHT_JOB,
        "replay_command": REPLAY_JOB,
    }
    return Settings(**{**parts, **more})


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A server of its own, whose trainers take a millisecond a step."""
    with serving(make_settings(tmp_path)) as client:
        yield client


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Client]:
    """A server whose trainers take 20 ms a step. Runs that are still going at the end are stopped."""
    with serving(make_settings(tmp_path, 0.02)) as client:
        yield client
        for run in client.get("/runs").json()["runs"]:
            client.post(f"/runs/{run['id']}/stop")


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One server for the tests that only ask."""
    with serving(make_settings(tmp_path_factory.mktemp("quiet"))) as client:
        yield client


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, str, Callable[[], Path]]]:
    """A server with one finished run, the run's id, and where its folder lies."""
    place = tmp_path_factory.mktemp("finished")
    with serving(make_settings(place)) as client:
        run = client.launch(name="done", tags=["kept"], notes="a note")
        client.until_state(run, "finished")
        yield client, run, lambda: place / "home" / "runs" / run
