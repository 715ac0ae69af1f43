"""The model against transformers' own Gemma, and each plan against the plain path."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evidence.spec import RunSpec
from training import batches, generate, step, weights
from training.errors import WeightsError

from .conftest import spec_with

TRANSPOSED = "kernel"


def spec_of(heads: int, key_heads: int, head_dim: int, **more: Any) -> RunSpec:
    return spec_with(
        **{
            "model.num_attention_heads": heads,
            "model.num_key_value_heads": key_heads,
            "model.head_dim": head_dim,
            "model.vocab_size": 300,
            **more,
        }
    )


def write_reference(folder: Path, spec: RunSpec, shards: int = 1) -> Any:
    """A tiny checkpoint as transformers writes it for torch, and the transformers model that it came from."""
    from safetensors.numpy import save_file
    from transformers import GemmaConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import FlaxGemmaForCausalLM

        model = spec.model
        config = GemmaConfig(
            vocab_size=model.vocab_size,
            hidden_size=model.hidden_size,
            intermediate_size=model.intermediate_size,
            num_hidden_layers=model.num_hidden_layers,
            num_attention_heads=model.num_attention_heads,
            num_key_value_heads=model.num_key_value_heads,
            head_dim=model.head_dim,
            max_position_embeddings=128,
            rms_norm_eps=model.rms_norm_eps,
            rope_theta=model.rope_theta,
        )
        reference = FlaxGemmaForCausalLM(config, seed=3, dtype=jnp.float32)
    tensors = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(reference.params)[0]:
        *parts, last = [part.key for part in path]
        array = np.asarray(leaf)
        if last == "weight":  # norms start at zero or one; make them tell each other apart
            array = array + np.random.default_rng(len(tensors)).normal(size=array.shape).astype(np.float32) * 0.1
            node = reference.params
            for part in parts:
                node = node[part]
            node[last] = jnp.asarray(array)
        tensors[".".join([*parts, "weight"])] = np.ascontiguousarray(array.T if last == TRANSPOSED else array)
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
    else:
        names, where = sorted(tensors), {}
        for shard in range(shards):
            file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
            save_file({name: tensors[name] for name in names[shard::shards]}, folder / file)
            where.update(dict.fromkeys(names[shard::shards], file))
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return reference


def trainer_of(spec: RunSpec) -> step.Trainer:
    return step.prepare(spec, jax.devices()[:1])


@pytest.mark.parametrize(("heads", "key_heads", "head_dim", "shards"), [(4, 1, 16, 1), (4, 2, 8, 2)])
def test_logits_equal_those_of_transformers(
    tmp_path: Path, heads: int, key_heads: int, head_dim: int, shards: int
) -> None:
    spec = spec_of(heads, key_heads, head_dim, weights__source="folder", weights__path=str(tmp_path / "gemma"))
    reference = write_reference(tmp_path / "gemma", spec, shards)
    trainer = trainer_of(spec)
    folder = weights.find(spec)
    assert folder
    params = weights.load(folder, trainer)
    tokens = jnp.asarray(np.random.default_rng(0).integers(3, 300, (2, 12)), jnp.int32)
    model = trainer.model(params)
    ours = model.logits(model(tokens))
    theirs = reference(tokens).logits
    assert float(jnp.max(jnp.abs(theirs))) > 0.5
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def test_weights_that_do_not_fit_are_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "gemma"
    spec = spec_of(4, 1, 16, weights__source="folder", weights__path=str(folder))
    with pytest.raises(WeightsError, match="is not a folder"):
        weights.find(spec)
    write_reference(folder, spec, shards=2)
    with pytest.raises(WeightsError, match=r"model\.vocab_size must be 300, as in .*config\.json, got 301"):
        weights.find(spec_of(4, 1, 16, weights__source="folder", weights__path=str(folder), model__vocab_size=301))
    trainer = trainer_of(spec)
    shard = folder / "model-00002-of-00002.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"model-00002-of-00002\.safetensors is broken or truncated"):
        weights.load(folder, trainer)
    shard.unlink()
    with pytest.raises(WeightsError, match=r"model-00002-of-00002\.safetensors is missing"):
        weights.load(folder, trainer)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "gemma2"}))
    with pytest.raises(WeightsError, match="describes a 'gemma2' model; only Gemma 1"):
        weights.find(spec)


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
