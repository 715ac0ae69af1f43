"""A run's state as a Hugging Face folder, read back by transformers and by our own loader."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.cli import main
from evidence import canonical
from training import checkpoints, step, weights
from training.errors import CheckpointError, ExportError
from training.export import export

from .conftest import new_run, spec_with
from .test_parity import one_file


@pytest.fixture(scope="module")
def saved(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, step.State]:
    """A run with the states of steps 0 and 3, and the latter."""
    trainer = tiny[0]
    run = new_run(tmp_path_factory.mktemp("runs"), trainer.spec)
    start = trainer.start(weights.random(trainer))
    checkpoints.save(run, start, 0, "c" * 64)
    later = step.State(jax.tree.map(lambda leaf: leaf * 1.5 + 0.01, start.params), start.moments)
    checkpoints.save(run, later, 3, "d" * 64)
    return run, later


def logits_of(folder: Path, tokens: Any) -> Any:
    """transformers' own logits of the folder: torch's where it is installed, else Flax's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if importlib.util.find_spec("torch"):
            import torch
            from transformers import GemmaForCausalLM

            model = GemmaForCausalLM.from_pretrained(folder, attn_implementation="eager")
            assert model.dtype == torch.float32
            return model(torch.tensor(np.asarray(tokens), dtype=torch.int64)).logits.detach().numpy()
        from transformers import FlaxGemmaForCausalLM

        return FlaxGemmaForCausalLM.from_pretrained(folder, dtype=jnp.float32)(tokens).logits


@pytest.mark.parametrize("shard_bytes", [1 << 30, 20_000], ids=["one file", "shards"])
def test_an_exported_state_gives_the_same_logits_in_transformers(
    tiny: Any, saved: tuple[Path, step.State], tmp_path: Path, shard_bytes: int
) -> None:
    (run, state), trainer = saved, tiny[0]
    done = export(run, None, tmp_path / "gemma", shard_bytes)
    files = sorted(path.name for path in done.folder.glob("model-*"))
    if shard_bytes == 20_000:
        assert len(files) == done.files > 2
        assert max((done.folder / name).stat().st_size for name in files) < 2 * shard_bytes
    tokens = jnp.asarray(np.random.default_rng(2).integers(3, 259, (2, 10)), jnp.int32)
    whole = done.folder
    if files and not importlib.util.find_spec("torch"):
        (tmp_path / "whole").mkdir()
        whole = one_file(done.folder, tmp_path / "whole")
    model = trainer.model(state.params)
    np.testing.assert_allclose(model.logits(model(tokens)), logits_of(whole, tokens), atol=1e-5, rtol=0)


def test_our_own_loader_reads_an_export_back_to_the_bit(saved: tuple[Path, step.State], tmp_path: Path) -> None:
    run, state = saved
    done = export(run, 3, tmp_path / "gemma", 20_000)
    spec = spec_with(weights__source="folder", weights__path=str(done.folder))
    trainer = step.prepare(spec, jax.devices()[:1])
    folder = weights.find(spec)
    assert folder
    loaded = weights.load(folder, trainer)
    for ours, theirs in zip(jax.tree.leaves(loaded), jax.tree.leaves(state.params), strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
    assert checkpoints.parameters_digest(loaded) == done.parameters_digest
    assert canonical.read(done.folder / "assay.json") == {
        "run_id": run.name, "step": 3, "parameters_digest": done.parameters_digest,
    }  # fmt: skip


def test_adapters_are_merged_into_their_matrices(tmp_path: Path) -> None:
    spec = spec_with(lora__rank=3, lora__alpha=6.0, lora__targets="all")
    trainer = step.prepare(spec, jax.devices()[:1])
    params = jax.tree.map(lambda leaf: leaf + 0.03, weights.random(trainer))
    run = new_run(tmp_path, spec)
    checkpoints.save(run, step.State(params, ()), 1, "c" * 64)
    done = export(run, None, tmp_path / "gemma")
    plain = spec_with(weights__source="folder", weights__path=str(done.folder))
    whole = step.prepare(plain, jax.devices()[:1])
    tokens = jnp.asarray(np.random.default_rng(2).integers(3, 259, (2, 10)), jnp.int32)
    ours, theirs = trainer.model(params), whole.model(weights.load(done.folder, whole))
    np.testing.assert_allclose(ours.logits(ours(tokens)), theirs.logits(theirs(tokens)), atol=1e-5, rtol=0)


def test_export_weights_writes_a_step_that_is_asked_for(
    saved: tuple[Path, step.State], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = saved
    assert main(["export-weights", str(run), "--step", "0", "--to", str(tmp_path / "gemma")]) == 0
    assert "Exported step 0" in capsys.readouterr().out
    assert len({path.stat().st_mode for path in (tmp_path / "gemma").iterdir()}) == 1
    config = json.loads((tmp_path / "gemma/config.json").read_text())
    assert config["architectures"] == ["GemmaForCausalLM"]
    assert (config["pad_token_id"], config["bos_token_id"], config["eos_token_id"]) == (0, 1, 2)
    assert main(["export-weights", str(run), "--step", "2", "--to", str(tmp_path / "other")]) == 2
    assert "has no state saved after step 2; there are 0, 3" in capsys.readouterr().err
    assert main(["export-weights", str(run), "--to", str(tmp_path / "gemma")]) == 2
    assert "is in the way: export into a folder that is new or empty" in capsys.readouterr().err
    assert main(["export-weights", str(tmp_path / "nowhere"), "--to", str(tmp_path / "other")]) == 2
    assert "cannot be exported" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_the_run_s_own_tokenizer_comes_along(tiny: Any, saved: tuple[Path, step.State], tmp_path: Path) -> None:
    from training import tokenizer

    run = new_run(tmp_path, spec_with(tokenizer__kind="trained", tokenizer__vocab_size=300, model__vocab_size=300))
    with pytest.raises(ExportError, match="has no saved state"):
        export(run, None, tmp_path / "early")
    trained = tokenizer.train(["12+7=? #### 19", "what is 3?"], 300)
    tokenizer.save(trained, run / "tokenizer")
    spec = spec_with(model__vocab_size=300)
    trainer = step.prepare(spec, jax.devices()[:1])
    checkpoints.save(run, trainer.start(weights.random(trainer)), 1, "c" * 64)
    done = export(run, None, tmp_path / "gemma")
    assert done.tokenizer == f"the tokenizer has {trained.vocab_size} entries"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoTokenizer

        theirs = AutoTokenizer.from_pretrained(done.folder)
    assert theirs("what is 12?", add_special_tokens=False).input_ids == trained.encode("what is 12?")
    assert (theirs.pad_token_id, theirs.bos_token_id, theirs.eos_token_id) == (0, 1, 2)


def test_a_state_that_is_not_what_its_digests_say_is_not_exported(tiny: Any, tmp_path: Path) -> None:
    trainer = tiny[0]
    run = new_run(tmp_path, trainer.spec)
    checkpoints.save(run, trainer.start(weights.random(trainer)), 1, "c" * 64)
    table = run / "checkpoints/step_000001.leaves.json"
    document = canonical.read(table)
    norm = next(leaf for leaf in document["leaves"] if leaf["path"] == "parameters.final_norm")
    norm["sha256"] = "0" * 64
    table.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=r"parameters\.final_norm has sha256 \w+, but its leaves file says 0000"):
        export(run, None, tmp_path / "gemma")
    assert not (tmp_path / "gemma").exists()
