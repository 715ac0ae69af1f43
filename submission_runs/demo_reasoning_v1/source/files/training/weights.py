"""Initial parameters: random from the seed, or Hugging Face Gemma 1 weights by one table of names."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evidence.spec import ModelSpec, RunSpec
from training.errors import WeightsError
from training.step import Trainer

TABLE: dict[str, tuple[str, bool]] = {
    "embedding": ("model.embed_tokens.weight", False),
    "final_norm": ("model.norm.weight", False),
    "layers.{n}.attention_norm": ("model.layers.{n}.input_layernorm.weight", False),
    "layers.{n}.mlp_norm": ("model.layers.{n}.post_attention_layernorm.weight", False),
    "layers.{n}.attention.query": ("model.layers.{n}.self_attn.q_proj.weight", True),
    "layers.{n}.attention.key": ("model.layers.{n}.self_attn.k_proj.weight", True),
    "layers.{n}.attention.value": ("model.layers.{n}.self_attn.v_proj.weight", True),
    "layers.{n}.attention.output": ("model.layers.{n}.self_attn.o_proj.weight", True),
    "layers.{n}.mlp.gate": ("model.layers.{n}.mlp.gate_proj.weight", True),
    "layers.{n}.mlp.up": ("model.layers.{n}.mlp.up_proj.weight", True),
    "layers.{n}.mlp.down": ("model.layers.{n}.mlp.down_proj.weight", True),
}
"""Our path → (their name, whether theirs is transposed). ``{n}`` is the layer."""

SINGLE, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"


def names(model: ModelSpec) -> Iterator[tuple[str, str, bool]]:
    """(our path, their name, transposed) of every parameter of ``model``."""
    for ours, (theirs, transposed) in TABLE.items():
        for layer in range(model.num_hidden_layers) if "{n}" in ours else (0,):
            yield ours.replace("{n}", str(layer)), theirs.replace("{n}", str(layer)), transposed


def find(spec: RunSpec) -> Path | None:
    """The folder with the weights, fetched from the hub when asked so; None for random ones. Raises WeightsError."""
    asked = spec.weights
    if asked.source == "random":
        return None
    folder = Path(asked.path) if asked.source == "folder" else _download(asked.repository, asked.revision)
    if not folder.is_dir():
        raise WeightsError(f"weights.path {folder} is not a folder")
    check_config(folder, spec.model)
    return folder


def check_config(folder: Path, model: ModelSpec) -> None:
    """Compare the folder's config.json with ``model``. Raises WeightsError for the first difference."""
    document = _json(folder / CONFIG)
    kind = document.get("model_type")
    if kind != "gemma":
        raise WeightsError(
            f"{folder / CONFIG} describes a {kind!r} model; only Gemma 1 (model_type 'gemma') is supported"
        )
    for key in (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "rms_norm_eps",
        "rope_theta",
    ):
        asked = getattr(model, key)
        if key in document and document[key] != asked:
            raise WeightsError(f"model.{key} must be {document[key]}, as in {folder / CONFIG}, got {asked}")


def random(trainer: Trainer) -> Any:
    """Random parameters, a function of seed and path alone: matrices normal with variance 1/fan-in, norms zero.

    What is added to the residual stream is scaled down, so that the stream's variance stays near one at any depth.
    They come from numpy, so they depend neither on the devices nor on the version of jax.
    """
    seed, layers = trainer.spec.training.seed, trainer.spec.model.num_hidden_layers

    def draw(path: tuple[Any, ...], leaf: Any, sharding: Any) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if leaf.ndim == 1:
            return jax.device_put(np.zeros(leaf.shape, np.float32), sharding)
        generator = np.random.Generator(np.random.Philox(key=np.array([seed, zlib.crc32(name.encode())], np.uint64)))
        fan_in = leaf.shape[1] if name == "embedding" else leaf.shape[0]
        branches = 2 * layers if name.endswith((".output", ".down")) else 1
        scale = np.float32((fan_in * branches) ** -0.5)
        return jax.device_put(generator.standard_normal(leaf.shape, np.float32) * scale, sharding)

    return jax.tree_util.tree_map_with_path(draw, trainer.abstract.params, trainer.shardings.params)


def load(folder: Path, trainer: Trainer) -> Any:
    """The parameters in ``folder`` as float32, each put where it will lie before the next is read.

    Raises WeightsError.
    """
    from safetensors import SafetensorError, safe_open

    files = _files(folder)
    found: dict[str, Any] = {}
    for ours, theirs, transposed in names(trainer.spec.model):
        if theirs not in files:
            raise WeightsError(f"{folder} has no tensor {theirs}")
        path = files[theirs]
        try:
            with safe_open(path, framework="flax") as tensors:
                array = np.asarray(tensors.get_tensor(theirs)).astype(np.float32)
        except FileNotFoundError:
            raise WeightsError(f"{path} is missing; the index of {folder} names it") from None
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{path} is broken or truncated: {error}") from None
        found[ours] = array.T if transposed else array
        wanted, sharding = _at(trainer.abstract.params, ours), _at(trainer.shardings.params, ours)
        if found[ours].shape != wanted.shape:
            raise WeightsError(f"{theirs} in {path} has shape {array.shape}, but the model's {ours} is {wanted.shape}")
        found[ours] = jax.device_put(found[ours], sharding)
    return jax.tree_util.tree_map_with_path(
        lambda path, _: found[jax.tree_util.keystr(path, simple=True, separator=".")], trainer.abstract.params
    )


def _files(folder: Path) -> dict[str, Path]:
    """Tensor name → file, from the index of a sharded folder or the one file."""
    from safetensors import SafetensorError, safe_open

    if (folder / INDEX).is_file():
        return {name: folder / file for name, file in _json(folder / INDEX).get("weight_map", {}).items()}
    path = folder / SINGLE
    if not path.is_file():
        raise WeightsError(f"{folder} has neither {SINGLE} nor {INDEX}")
    try:
        with safe_open(path, framework="numpy") as tensors:
            return dict.fromkeys(tensors.keys(), path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} is broken or truncated: {error}") from None


def _at(tree: Any, path: str) -> Any:
    for part in path.split("."):
        tree = tree[int(part) if part.isdigit() else part]
    return tree


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(document, dict):
        raise WeightsError(f"{path} must hold an object")
    return document


def _download(repository: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                token=os.environ.get("HF_TOKEN"),
                allow_patterns=["*.safetensors", "*.json"],
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise WeightsError(
            f"{repository} at {revision} cannot be fetched: {' '.join(str(error).split())[:300]}; a gated repository "
            "needs HF_TOKEN in the environment"
        ) from None
