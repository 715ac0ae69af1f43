"""Rehearsals for tests: a submission for a TPU, and a run of the stand-in trainer that rehearses it."""

from __future__ import annotations

from pathlib import Path

from evidence import provenance, rehearsal
from tests import runs

SUBMISSION = {"device": "tpu", "training.steps": 200, "model.hidden_size": 32}
"""In what it differs from the tests' own config."""


def submission(folder: Path) -> Path:
    """The config file of the submission."""
    config = runs.CONFIG | {"name": "submission_tiny", "device": "tpu"}
    config["training"] = {**config["training"], "steps": 200}
    config["model"] = {**config["model"], "hidden_size": 32}
    path = folder / "submission_tiny.yaml"
    path.write_text(runs.config_text(config))
    return path


def run(root: Path) -> Path:
    """The folder of a run that rehearsed it, after its step was compiled for two topologies, by the stand-in."""
    (root / "configs").mkdir()
    path = submission(root / "configs")
    for topology in ("v5e-8", "v3-8"):
        runs.preflight_report(root / "preflights", SUBMISSION, topology)
    rehearsed = rehearsal.asked(path, provenance.config_name(path), root / "preflights")
    made = runs.new_run(root / "runs", {"training.steps": 30}, name="m1", rehearsed=rehearsed)
    assert runs.record(made) == 0
    return made
