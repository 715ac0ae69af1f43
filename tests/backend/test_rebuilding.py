"""``assay rebuild`` and ``assay backup``: the index made anew by hand, and copied while it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.cli import main
from backend.database import Database
from tests.backend.client import Client, serving
from tests.backend.conftest import make_settings


def _shown(client: Client, runs: list[str]) -> list[object]:
    paths = ("", "/metrics", "/checkpoints", "/evaluations")
    found = [client.get(f"/runs/{run}{path}").raise_for_status().json() for run in runs for path in paths]
    return [*found, client.get("/runs").json()]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    settings = make_settings(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", str(settings.home))
    monkeypatch.setenv("ASSAY_DATABASE_URL", settings.database_url)
    return lambda: settings.home


def test_an_index_made_anew_by_hand_equals_the_one_before(
    home: Callable[[], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(make_settings(tmp_path)) as client:
        first, second = client.launch(), client.launch(tags=["b"], notes="a note")
        for run in (first, second):
            client.until_state(run, "finished")
        client.patch(f"/runs/{first}", json={"name": "renamed", "archived": True}).raise_for_status()
        before = _shown(client, [first, second])
        assert main(["rebuild"]) == 2
        assert capsys.readouterr().err.startswith("Error: another server works on the data folder")
    (home() / "runs" / "20260101-000000-000000").mkdir()
    (home() / "runs" / "20260101-000000-000000" / "spec.json").write_text("{}")
    assert main(["rebuild"]) == 0
    said = capsys.readouterr()
    assert said.out == "The index was made anew: 2 runs.\n"
    assert said.err.startswith("20260101-000000-000000 is left out: ")
    with serving(make_settings(tmp_path)) as client:
        assert _shown(client, [first, second]) == before


def test_a_copy_is_an_index(home: Callable[[], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = make_settings(tmp_path)
    with serving(settings) as client:
        client.until_state(client.launch(), "finished")
        code = main(["backup", str(tmp_path / "copy.db")])
    if settings.database_url:
        assert (code, capsys.readouterr().err) == (2, "Error: the index is in PostgreSQL; copy it with pg_dump\n")
        return
    assert code == 0
    assert "copy" in capsys.readouterr().out
    (tmp_path / "again").mkdir()
    (tmp_path / "copy.db").rename(tmp_path / "again" / "assay.db")
    database = Database(tmp_path / "again" / "assay.db")
    assert database.notice == ""
    database.close()
