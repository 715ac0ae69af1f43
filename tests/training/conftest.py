"""One run of the smoke config and one compiled tiny trainer, shared by the session; signatures' shapes are checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from jaxtyping import install_import_hook

with install_import_hook(["training.gemma", "training.loss", "training.generate"], "beartype.beartype"):
    import training.generate
    import training.loss  # noqa: F401

from evidence import config_file, events, rundir
from evidence.spec import RunSpec, resolve
from tests import runs

REPOSITORY = Path(__file__).resolve().parents[2]
SMOKE = REPOSITORY / "training/configs/smoke_tiny.yaml"

TINY = {
    "model.hidden_size": 32,
    "model.intermediate_size": 48,
    "model.num_hidden_layers": 2,
    "model.num_attention_heads": 4,
    "model.num_key_value_heads": 2,
    "model.head_dim": 8,
    "training.batch_size": 8,
    "training.sequence_length": 40,
    "training.steps": 6,
    "optimizer.warmup_steps": 2,
    "device": "cpu",
}


def spec_with(**overrides: Any) -> RunSpec:
    """The smoke config shrunk further, with settings written ``training__steps=3``."""
    document, _ = config_file.load(SMOKE)
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return resolve(document, {**TINY, **dotted})[0]


def new_run(root: Path, spec: RunSpec) -> Path:
    return rundir.create(root, spec, config="training/configs/smoke_tiny.yaml", config_text=SMOKE.read_text())


def recorded_run(root: Path, overrides: dict[str, Any]) -> Path:
    """A run of the tiny config, to its end under the recorder: it can be sealed."""
    document, text = config_file.load(SMOKE)
    spec, changed = resolve(document, {**TINY, **overrides})
    config = "training/configs/smoke_tiny.yaml"
    run = rundir.create(root, spec, config=config, config_text=text, overrides=changed)
    assert runs.record(run, [sys.executable, "-m", "training", str(run)]) == 0
    return run


def run_trainer(run: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m training RUN`` to its end, as the recorder starts it."""
    return subprocess.run(
        [sys.executable, "-m", "training", str(run), *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )


def events_of(run: Path) -> list[events.Event]:
    lines, _ = rundir.whole_lines(run / rundir.EVENTS, 0)
    return [events.decode(line) for line in lines]


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """smoke_tiny.yaml itself, on CPU, with evaluations and checkpoints on the way."""
    document, text = config_file.load(SMOKE)
    overrides = {"device": "cpu", "evaluation.every_steps": 20, "checkpoints.every_steps": 10}
    spec, changed = resolve(document, overrides)
    run = rundir.create(
        tmp_path_factory.mktemp("runs"),
        spec,
        config="training/configs/smoke_tiny.yaml",
        config_text=text,
        overrides=changed,
    )
    return run, run_trainer(run)


@pytest.fixture(scope="session")
def tiny() -> Any:
    """A compiled tiny trainer: (trainer, program, encoded rows, tokenizer)."""
    import jax

    from training import batches, rows, step, tokenizer

    spec = spec_with()
    trainer = step.prepare(spec, jax.devices()[:1])
    program, _ = step.compile_step(trainer)
    found = rows.read(spec.data)
    bytes_ = tokenizer.Bytes()
    encoded = batches.encode(found.train, spec.data, bytes_, spec.training.sequence_length)
    return trainer, program, encoded, bytes_
