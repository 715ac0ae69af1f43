"""Initial parameters: random from the seed, or read from a Hugging Face folder of Gemma 1 weights."""

from __future__ import annotations

import zlib
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evidence.spec import RunSpec
from training import weight_files, weight_sources
from training.gemma import ADAPTER_OUT
from training.step import Trainer
from training.weight_files import Stored

DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16}


def find(spec: RunSpec) -> Path | None:
    """The folder with the weights, fetched from the hub when asked so; None for random ones.

    Its config and the headers of all its files fit the model then. Raises WeightsError.
    """
    folder = weight_sources.folder_of(spec.weights)
    if folder is not None:
        weight_files.check(folder, spec.model)
    return folder


def random(trainer: Trainer) -> Any:
    """Random parameters, a function of seed and path alone: matrices normal with variance 1/fan-in, norms zero, and
    zero the second factor of each adapter, so that adapters change nothing at first.

    What is added to the residual stream is scaled down, so that the stream's variance stays near one at any depth.
    They come from numpy, so they depend neither on the devices nor on the version of jax.
    """
    return jax.tree_util.tree_map_with_path(partial(_drawn, trainer), trainer.abstract.params, trainer.shardings.params)


def load(folder: Path, trainer: Trainer) -> Any:
    """The parameters in ``folder`` as float32, one after another, each device reading its own part of each; adapters,
    which no folder holds, as ``random`` makes them.

    Raises WeightsError.
    """
    stored = weight_files.check(folder, trainer.spec.model)
    wanted = {parameter.path: parameter for parameter in weight_files.parameters(trainer.spec.model)}

    def read(path: tuple[Any, ...], leaf: Any, sharding: Any) -> jax.Array:
        parameter = wanted.get(jax.tree_util.keystr(path, simple=True, separator="."))
        if parameter is None:
            return _drawn(trainer, path, leaf, sharding)
        array = _mapped(stored[parameter.name])
        ours = array.T if parameter.transposed else array
        return jax.make_array_from_callback(leaf.shape, sharding, lambda part: np.array(ours[part], np.float32))

    return jax.tree_util.tree_map_with_path(read, trainer.abstract.params, trainer.shardings.params)


def _drawn(trainer: Trainer, path: tuple[Any, ...], leaf: Any, sharding: Any) -> jax.Array:
    spec = trainer.spec
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    if leaf.ndim == 1 or name.endswith(ADAPTER_OUT):
        return trainer.placement.put(np.zeros(leaf.shape, np.float32), sharding)
    key = np.array([spec.training.seed, zlib.crc32(name.encode())], np.uint64)
    fan_in = leaf.shape[1] if name == "embedding" else leaf.shape[0]
    branches = 2 * spec.model.num_hidden_layers if name.endswith((".output", ".down")) else 1
    scale = np.float32((fan_in * branches) ** -0.5)
    numbers = np.random.Generator(np.random.Philox(key=key)).standard_normal(leaf.shape, np.float32)
    return trainer.placement.put(numbers * scale, sharding)


def _mapped(tensor: Stored) -> Any:
    return np.memmap(tensor.file, DTYPES[tensor.dtype], "r", tensor.offset, tensor.shape)
