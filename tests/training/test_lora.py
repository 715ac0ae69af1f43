"""LoRA trains its adapters and nothing else, and starts as the model it adapts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from evidence import bundle, canonical, events, rundir
from evidence.spec import adapter_count, parameter_count
from evidence.verify import verify
from training import batches, step, weights
from training.gemma import ADAPTER_IN, ADAPTER_OUT
from training.throughput import model_flops_per_step

from .conftest import events_of, new_run, recorded_run, run_trainer, spec_with

LORA = {"lora__rank": 4, "lora__targets": "all", "optimizer__weight_decay": 0.1}


def named(params: Any) -> dict[str, Any]:
    flat = jax.tree_util.tree_flatten_with_path(params)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in flat}


def one_step(tiny: Any, **settings: Any) -> tuple[dict[str, Any], dict[str, Any], float, step.Trainer]:
    trainer = step.prepare(spec_with(**settings), jax.devices()[:1])
    program, _ = step.compile_step(trainer)
    params = weights.random(trainer)
    before = {name: leaf.copy() for name, leaf in named(params).items()}
    batch = batches.batch(tiny[2], 1, trainer.spec.training.batch_size, 1)
    state, metrics = program(trainer.start(params), batch.arrays, np.float32(1e-2))
    return before, named(state.params), float(metrics.loss), trainer


def test_a_step_moves_the_adapters_alone(tiny: Any) -> None:
    before, after, loss, trainer = one_step(tiny, **LORA)
    adapters = {name for name in before if name.endswith((ADAPTER_IN, ADAPTER_OUT))}
    spec = trainer.spec
    assert sum(before[name].size for name in adapters) == adapter_count(spec.model, spec.lora)
    assert sum(leaf.size for leaf in before.values()) == parameter_count(spec.model) + adapter_count(
        spec.model, spec.lora
    )
    for name, leaf in before.items():
        changed = not np.array_equal(leaf, after[name])
        # The first gradient of a factor whose partner is zero is zero; only its decay moves it.
        assert changed == (name in adapters), name
    _, _, plain, _ = one_step(tiny)
    assert loss == pytest.approx(plain, rel=1e-6)  # the second factor starts at zero


def test_only_the_adapters_have_optimizer_state(tiny: Any) -> None:
    trainer = one_step(tiny, **LORA)[3]
    moments = jax.tree.leaves(trainer.abstract.moments)
    held = sum(int(np.prod(leaf.shape)) for leaf in moments if leaf.ndim)
    assert held == 2 * adapter_count(trainer.spec.model, trainer.spec.lora)


def test_a_frozen_matrix_counts_two_thirds_of_the_arithmetic() -> None:
    plain, lora = spec_with(), spec_with(lora__rank=1)
    tokens = plain.training.batch_size * plain.training.sequence_length
    matrices = parameter_count(plain.model) - (2 * plain.model.num_hidden_layers + 1) * plain.model.hidden_size
    adapters = adapter_count(lora.model, lora.lora)
    saved = model_flops_per_step(plain) - model_flops_per_step(lora)
    assert saved == (2 * matrices - 6 * adapters) * tokens


def test_a_run_with_adapters_learns_and_says_what_it_trained(tmp_path: Path) -> None:
    settings = {**LORA, "training__steps": 20, "optimizer__learning_rate": 0.02, "optimizer__weight_decay": 0.0}
    run = new_run(tmp_path, spec_with(evaluation__max_new_tokens=4, **settings))
    ended = run_trainer(run)
    assert ended.returncode == 0, ended.stderr
    found = events_of(run)
    model = next(event for event in found if isinstance(event, events.Model))
    spec = spec_with(**settings)
    assert model.trainable_parameters == adapter_count(spec.model, spec.lora)
    assert model.parameters == parameter_count(spec.model) + model.trainable_parameters
    losses = [event.loss for event in found if isinstance(event, events.Step)]
    assert losses[-1] < losses[0]
    first, last = (
        {leaf["path"]: leaf["sha256"] for leaf in canonical.read(run / rundir.CHECKPOINTS / name)["leaves"]}
        for name in ("step_000000.leaves.json", "step_000020.leaves.json")
    )
    moved = {path for path in first if path.startswith("parameters.") and first[path] != last[path]}
    assert moved
    assert all(path.endswith((ADAPTER_IN, ADAPTER_OUT)) for path in moved)


def test_a_run_with_adapters_becomes_evidence(tmp_path: Path) -> None:
    settings = {name.replace("__", "."): value for name, value in LORA.items()}
    run = recorded_run(tmp_path / "runs", {"evaluation.max_new_tokens": 4, **settings})
    sealed = bundle.seal(run, tmp_path / "bundles", "adapters")
    assert verify(sealed).valid
    model = canonical.read(sealed / "run_manifest.json")["model"]
    spec = spec_with(**LORA)
    adapters = adapter_count(spec.model, spec.lora)
    assert model["trainable_parameters"] == adapters < model["parameters"]
    assert f"of which {adapters:,} in adapters are trained" in (sealed / "README.md").read_text()
