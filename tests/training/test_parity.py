"""The model against transformers' own Gemma, in torch and in Flax: logits, loss and every gradient in float32."""

from __future__ import annotations

import importlib.util
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evidence.spec import RunSpec
from training import loss, step, weight_files, weights

from . import torch_reference
from .conftest import spec_with
from .torch_reference import FOLDER, LAYERS, SHAPES, VOCAB

Answers = Callable[[Path], dict[str, Any]]


def spec_of(name: str, **more: Any) -> RunSpec:
    """The spec of the reference checkpoint ``name``."""
    shape = SHAPES[name]
    return spec_with(
        **{
            "model.vocab_size": VOCAB,
            "model.hidden_size": shape.hidden_size,
            "model.intermediate_size": 40,
            "model.num_hidden_layers": LAYERS,
            "model.num_attention_heads": shape.heads,
            "model.num_key_value_heads": shape.key_heads,
            "model.head_dim": shape.head_dim,
            "model.max_position_embeddings": 64,
            "weights.source": "folder",
            "weights.path": str(FOLDER / name),
            **more,
        }
    )


@pytest.fixture(scope="module")
def ours() -> Callable[[str], dict[str, Any]]:
    """Our answers for a checkpoint, by transformers' names; computed once for each."""
    known: dict[str, dict[str, Any]] = {}

    def answer(name: str) -> dict[str, Any]:
        if name not in known:
            spec = spec_of(name)
            trainer = step.prepare(spec, jax.devices()[:1])
            folder = weights.find(spec)
            assert folder
            tokens, mask = map(jnp.asarray, torch_reference.batch())

            def mean_loss(params: Any) -> tuple[Any, Any]:
                model = trainer.model(params)
                return loss.loss_sum(model, tokens, mask) / mask[:, 1:].sum(), model.logits(model(tokens))

            params = weights.load(folder, trainer)
            (value, logits), gradient = jax.jit(jax.value_and_grad(mean_loss, has_aux=True))(params)
            leaves = {
                jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf)
                for path, leaf in jax.tree_util.tree_flatten_with_path(gradient)[0]
            }
            known[name] = {
                "logits": logits,
                "loss": value,
                **{
                    f"gradient.{parameter.name}": leaves[parameter.path].T
                    if parameter.transposed
                    else leaves[parameter.path]
                    for parameter in weight_files.parameters(spec.model)
                },
            }
        return known[name]

    return answer


@pytest.fixture(scope="module")
def flax(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What transformers' Flax Gemma computes from a checkpoint."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import FlaxGemmaForCausalLM

    def answer(folder: Path) -> dict[str, Any]:
        whole = one_file(folder, tmp_path_factory.mktemp("flax"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = FlaxGemmaForCausalLM.from_pretrained(whole, dtype=jnp.float32)
        tokens, mask = map(jnp.asarray, torch_reference.batch())
        weight = mask[:, 1:].astype(jnp.float32)

        def mean_loss(params: Any) -> tuple[Any, Any]:
            logits = model(tokens, params=params, train=False).logits
            picked = jnp.take_along_axis(jax.nn.log_softmax(logits[:, :-1]), tokens[:, 1:, None], axis=-1)[..., 0]
            return -jnp.sum(picked * weight) / weight.sum(), logits

        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), model.params)
        (value, logits), gradient = jax.jit(jax.value_and_grad(mean_loss, has_aux=True))(params)
        found = {"logits": logits, "loss": value}
        for path, leaf in jax.tree_util.tree_flatten_with_path(gradient)[0]:
            *parts, last = [part.key for part in path]
            name = ".".join([*parts, "weight"])
            found[f"gradient.{name}"] = np.asarray(leaf).T if last == "kernel" else np.asarray(leaf)
        return found

    return answer


def one_file(folder: Path, into: Path) -> Path:
    """The checkpoint in ``folder`` without shards: the Flax classes read an index only by means of torch."""
    from safetensors.flax import load_file, save_file

    tensors = {name: tensor for path in folder.glob("model*.safetensors") for name, tensor in load_file(path).items()}
    shutil.copy(folder / "config.json", into)
    save_file(tensors, into / "model.safetensors", metadata={"format": "pt"})
    return into


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert set(ours) == set(theirs)
    assert float(np.max(np.abs(theirs["logits"]))) > 1
    for name, array in theirs.items():
        assert np.max(np.abs(array)) > 1e-3, name
        np.testing.assert_allclose(ours[name], array, atol=1e-5, rtol=0, err_msg=name)


@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_gradients_equal_those_of_torch(name: str, ours: Callable[[str], dict[str, Any]]) -> None:
    assert_equal(ours(name), torch_reference.recorded(FOLDER / name))


@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_gradients_equal_those_of_flax(
    name: str, ours: Callable[[str], dict[str, Any]], flax: Answers
) -> None:
    assert_equal(ours(name), flax(FOLDER / name))


def test_what_torch_answered_is_what_it_answers(tmp_path: Path) -> None:
    """The record against torch itself where it is installed, against its own description everywhere."""
    assert {path.name for path in FOLDER.iterdir()} == set(SHAPES)
    for name, shape in SHAPES.items():
        config = json.loads((FOLDER / name / "config.json").read_text())
        sizes = (config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"], config["dtype"])
        assert sizes == (shape.heads, shape.key_heads, shape.head_dim, shape.stored)
        assert (FOLDER / name / weight_files.INDEX).is_file() == (shape.shard_bytes < 1 << 20)
        if importlib.util.find_spec("torch"):
            assert_equal(torch_reference.answers(FOLDER / name), torch_reference.recorded(FOLDER / name))
