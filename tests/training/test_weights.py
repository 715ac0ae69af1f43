"""Where weights come from, and what is said of those that cannot be had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jax
import pytest

from training import mesh, step, weights
from training.errors import WeightsError

from .test_parity import spec_of
from .torch_reference import FOLDER


def test_weights_that_do_not_fit_are_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "gemma"
    name = "grouped_heads_in_shards"
    spec = spec_of(name, weights__path=str(folder))
    with pytest.raises(WeightsError, match="is not a folder"):
        weights.find(spec)
    shutil.copytree(FOLDER / name, folder)
    with pytest.raises(WeightsError, match=r"model\.vocab_size must be 96, as in .*config\.json, got 301"):
        weights.find(spec_of(name, weights__path=str(folder), model__vocab_size=301))
    trainer = step.prepare(spec, mesh.place(spec, jax.devices()[:1]))
    shard = folder / "model-00002-of-00006.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"model-00002-of-00006\.safetensors is broken or truncated"):
        weights.load(folder, trainer)
    shard.unlink()
    with pytest.raises(WeightsError, match=r"model-00002-of-00006\.safetensors is missing"):
        weights.load(folder, trainer)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "gemma2"}))
    with pytest.raises(WeightsError, match="describes a 'gemma2' model; only Gemma 1"):
        weights.find(spec)
