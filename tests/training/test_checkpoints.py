from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from evidence import canonical, rundir
from training import batches, checkpoints, step, weights
from training.errors import CheckpointError

from .conftest import spec_with


@pytest.fixture(scope="module")
def saved(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, step.State]:
    """A run folder with the state after one step."""
    trainer, program, encoded, _ = tiny
    batch = batches.batch(encoded, 1, trainer.spec.training.batch_size, 1)
    state, _ = program(trainer.start(weights.random(trainer)), batch.arrays, np.float32(1e-3))
    run = tmp_path_factory.mktemp("run")
    checkpoints.save(run, state, 1, "c" * 64)
    return run, state


def test_a_restored_state_is_the_saved_one_to_the_bit(tiny: Any, saved: tuple[Path, step.State]) -> None:
    trainer, run, state = tiny[0], *saved
    restored = checkpoints.restore(run, 1, trainer.abstract, trainer.shardings)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for ours, theirs in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


def test_digests_are_over_path_type_shape_and_bytes(saved: tuple[Path, step.State]) -> None:
    run, state = saved
    table = canonical.read(run / "checkpoints/step_000001.leaves.json")
    assert table["leaves"] == checkpoints.leaves(state)
    paths = [leaf["path"] for leaf in table["leaves"]]
    assert paths == sorted(paths)
    assert "parameters.layers.1.attention.query" in paths
    assert {path.split(".")[0] for path in paths} == {"parameters", "optimizer"}


def test_a_changed_digest_is_found_when_restoring(tiny: Any, saved: tuple[Path, step.State]) -> None:
    trainer, run = tiny[0], saved[0]
    place = run / "checkpoints/step_000001.leaves.json"
    table = canonical.read(place)
    norm = next(number for number, leaf in enumerate(table["leaves"]) if leaf["path"] == "parameters.final_norm")
    changed = [dict(leaf) for leaf in table["leaves"]]
    changed[norm]["sha256"] = "0" * 64
    rundir.write_document(place, {**table, "leaves": changed})
    with pytest.raises(CheckpointError, match=r"parameters\.final_norm has sha256 \w+, but its leaves file says 0000"):
        checkpoints.restore(run, 1, trainer.abstract, trainer.shardings)
    rundir.write_document(place, table)


def test_a_checkpoint_of_another_model_is_refused(saved: tuple[Path, step.State]) -> None:
    spec = spec_with(model__hidden_size=40)
    other = step.prepare(spec, jax.devices()[:1])
    with pytest.raises(CheckpointError, match="is of another model"):
        checkpoints.restore(saved[0], 1, other.abstract, other.shardings)


def test_a_missing_checkpoint_is_named(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="step_000007 is not a whole checkpoint"):
        checkpoints.restore(tmp_path, 7, tiny[0].abstract, tiny[0].shardings)
