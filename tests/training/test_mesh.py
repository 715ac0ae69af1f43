"""Several devices compute what one computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from evidence import events
from evidence.schedule import learning_rate
from evidence.spec import PlanSpec
from training import batches, mesh, step, weights
from training.errors import LayoutError

from .conftest import events_of, new_run, run_trainer, spec_with

DIVIDED = {"model__vocab_size": 264}
"""A vocabulary that eight devices can share; the smoke config's 259 entries they cannot."""


def losses_of_one_device(encoded: batches.Encoded, **settings: Any) -> list[float]:
    trainer = step.prepare(spec_with(**settings), jax.devices()[:1])
    program, _ = step.compile_step(trainer)
    training, state, losses = trainer.spec.training, trainer.start(weights.random(trainer)), []
    for number in range(1, training.steps + 1):
        batch = batches.batch(encoded, training.seed, training.batch_size, number)
        rate = np.float32(learning_rate(trainer.spec.optimizer, training.steps, number))
        state, metrics = program(state, batch.arrays, rate)
        losses.append(float(metrics.loss))
    return losses


@pytest.fixture(scope="module")
def alone(tiny: Any) -> dict[str, list[float]]:
    """Losses of one device, with either vocabulary."""
    return {"whole": losses_of_one_device(tiny[2]), "divided": losses_of_one_device(tiny[2], **DIVIDED)}


@pytest.mark.parametrize(
    ("vocabulary", "settings"),
    [
        ("whole", {"plan__layout": "fsdp", "plan__loss_chunk_tokens": 16}),
        ("whole", {"plan__layout": "replicated", "evaluation__samples": 0}),
        ("divided", {"plan__layout": "fsdp", "plan__remat": "mlp", "plan__layers": "scanned"}),
        ("divided", {"plan__layout": "tensor", "plan__loss_chunk_tokens": 16}),
        ("divided", {"plan__layout": "tensor", "plan__remat": "attention"}),
    ],
    ids=["fsdp", "replicated", "fsdp scanned", "tensor", "tensor with attention again"],
)
def test_eight_devices_lose_what_one_loses(
    tmp_path: Path, alone: dict[str, list[float]], vocabulary: str, settings: dict[str, Any]
) -> None:
    shape = DIVIDED if vocabulary == "divided" else {}
    run = new_run(tmp_path, spec_with(evaluation__max_new_tokens=4, **shape, **settings))
    ended = run_trainer(run, XLA_FLAGS="--xla_force_host_platform_device_count=8")
    assert ended.returncode == 0, ended.stderr
    found = events_of(run)
    devices = next(event for event in found if isinstance(event, events.Devices))
    assert (devices.devices_used, devices.layout) == (8, settings["plan__layout"])
    losses = [event.loss for event in found if isinstance(event, events.Step)]
    assert losses == pytest.approx(alone[vocabulary], rel=1e-4)


def test_a_batch_that_devices_cannot_share_is_refused() -> None:
    spec = spec_with(training__batch_size=12, training__gradient_accumulation=2)
    with pytest.raises(LayoutError, match=r"6 rows, which 4 devices cannot share evenly; make it a multiple of 8"):
        mesh.place(spec, PlanSpec(layout="fsdp"), jax.devices()[:1] * 4)


def test_a_width_that_devices_cannot_share_is_refused() -> None:
    spec = spec_with(training__batch_size=12, model__hidden_size=32)
    with pytest.raises(LayoutError, match=r"hidden_size 32 over 3 devices.*use plan\.layout replicated"):
        mesh.place(spec, PlanSpec(layout="fsdp"), jax.devices()[:1] * 3)
