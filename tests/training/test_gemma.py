"""Each plan against the plain path, and cached generation against reading again."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evidence.spec import RunSpec
from training import batches, generate, step, weights

from .conftest import spec_with


def trainer_of(spec: RunSpec) -> step.Trainer:
    return step.prepare(spec, jax.devices()[:1])


def first_batch(trainer: step.Trainer, encoded: batches.Encoded) -> batches.Batch:
    return batches.batch(encoded, 1, trainer.spec.training.batch_size, 1)


PLANS: list[dict[str, Any]] = [
    {"plan__remat": "layer", "plan__loss_chunk_tokens": 56},  # 7 of 40 positions at a time: the last chunk is padded
    {"plan__layers": "scanned", "plan__remat": "layer", "plan__loss_chunk_tokens": 8},
    {"plan__layers": "scanned", "training__gradient_accumulation": 4},
]


@pytest.fixture(scope="module")
def plain(tiny: Any) -> tuple[float, Any]:
    """Loss and parameters after one step without any plan."""
    trainer, program, encoded, _ = tiny
    batch = first_batch(trainer, encoded)
    state, metrics = program(trainer.start(weights.random(trainer)), batch.arrays, np.float32(1e-2))
    return float(metrics.loss), state.params


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: ",".join(plan))
def test_every_plan_takes_the_same_step(tiny: Any, plain: tuple[float, Any], plan: dict[str, Any]) -> None:
    trainer = trainer_of(spec_with(**plan))
    batch = first_batch(trainer, tiny[2])
    program, _ = step.compile_step(trainer)
    state, metrics = program(trainer.start(weights.random(trainer)), batch.arrays, np.float32(1e-2))
    loss, params = plain
    assert float(metrics.loss) == pytest.approx(loss, rel=1e-6)
    for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_bfloat16_activations_lose_nearly_what_float32_loses(tiny: Any, plain: tuple[float, Any]) -> None:
    trainer = trainer_of(spec_with(training__compute_dtype="bfloat16"))
    program, _ = step.compile_step(trainer)
    state, metrics = program(
        trainer.start(weights.random(trainer)), first_batch(trainer, tiny[2]).arrays, np.float32(1e-2)
    )
    assert float(metrics.loss) == pytest.approx(plain[0], rel=5e-3)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype(np.float32)}


def test_cached_generation_equals_reading_the_whole_text_again(tiny: Any) -> None:
    trainer, _, _, tokenizer = tiny
    model = trainer.model(weights.random(trainer))
    prompts = [[1, 50, 60, 70], [1, 90, 95, 99, 120, 130, 140], [1, 200]]
    tokens, lengths = generate.left_padded(prompts, 8, tokenizer.pad)
    answers = jax.jit(lambda tokens, lengths: generate.greedy(model, tokens, lengths, 6, tokenizer.eos, tokenizer.pad))(
        tokens, lengths
    )
    for prompt, answer in zip(prompts, np.asarray(answers).tolist(), strict=True):
        text = list(prompt)
        for token in generate.until(answer, tokenizer.eos):
            logits = model.logits(model(jnp.asarray([text], jnp.int32)))
            assert int(jnp.argmax(logits[0, -1])) == token
            text.append(token)


def test_generation_stops_at_eos_and_pads_behind_it() -> None:
    assert generate.until([5, 6, 2, 9, 9], 2) == [5, 6, 2]
    assert generate.until([5, 6], 2) == [5, 6]
