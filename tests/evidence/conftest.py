from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence import bundle
from tests import runs


@pytest.fixture(scope="session")
def ended_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the stand-in trainer, recorded for real, with a stand-in's preflight of its step."""
    report = runs.preflight_report(tmp_path_factory.mktemp("preflights"))
    run = runs.new_run(
        tmp_path_factory.mktemp("runs"), {"training.steps": 40}, name="tiny", notes="a note", preflight=report
    )
    assert runs.record(run) == 0
    return run


@pytest.fixture(scope="session")
def sealed(ended_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle. Never change it: take a ``copy``."""
    return bundle.seal(ended_run, tmp_path_factory.mktemp("bundles"), "tiny")


@pytest.fixture
def copy(sealed: Path, tmp_path: Path) -> Callable[[], Path]:
    """A fresh copy of the bundle under its own name."""
    count = iter(range(1_000_000))

    def fresh() -> Path:
        return Path(shutil.copytree(sealed, tmp_path / str(next(count)) / "tiny"))

    return fresh
