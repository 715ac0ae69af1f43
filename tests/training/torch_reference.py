"""transformers' Gemma in torch, recorded: checkpoints that it wrote, and the logits and gradients it computed from them.

``python -m tests.training.torch_reference`` makes ``reference/`` again; it needs torch, which the tests do not: the
package index has torch for Linux only with 3 GB of CUDA. Where torch is installed, the tests ask it anew as well.

Each folder of ``reference/`` is a checkpoint as ``save_pretrained`` writes it, beside ``answers.safetensors``: tokens
and mask, ``logits``, ``loss`` (the mean over the masked tokens, in nats), and ``gradient.<name>`` of every parameter.
"""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

FOLDER = Path(__file__).parent / "reference"
ANSWERS = "answers.safetensors"


@dataclass(frozen=True)
class Shape:
    """``shard_bytes``: no file is larger; ``stored``: the type of the numbers in the files."""

    heads: int
    key_heads: int
    head_dim: int
    hidden_size: int = 24
    stored: str = "float32"
    shard_bytes: int = 1 << 20


SHAPES = {
    "one_key_head": Shape(4, 1, 8),
    "grouped_heads_in_shards": Shape(4, 2, 6, shard_bytes=8192),
    "every_head_its_keys": Shape(3, 3, 10, hidden_size=16),
    "bfloat16_files": Shape(2, 1, 16, stored="bfloat16"),
}
VOCAB, LAYERS, LENGTH = 96, 2, 12


def config_of(shape: Shape) -> Any:
    from transformers import GemmaConfig

    return GemmaConfig(
        vocab_size=VOCAB,
        hidden_size=shape.hidden_size,
        intermediate_size=40,
        num_hidden_layers=LAYERS,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=64,
        hidden_activation="gelu_pytorch_tanh",
    )


def batch() -> tuple[Any, Any]:
    """Tokens (2, 12) and a loss mask of which the first column counts for nothing."""
    generator = np.random.default_rng(11)
    return (
        generator.integers(3, VOCAB, (2, LENGTH)).astype(np.int32),
        (generator.random((2, LENGTH)) < 0.6).astype(np.uint8),
    )


def answers(folder: Path) -> dict[str, Any]:
    """What torch computes in float32 from the checkpoint in ``folder``."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import GemmaForCausalLM

        model = GemmaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        tokens, mask = batch()
        ids, weights = torch.tensor(tokens, dtype=torch.int64), torch.tensor(mask[:, 1:], dtype=torch.float32)
        logits = model(ids).logits
        losses = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
    found = {f"gradient.{name}": parameter.grad.numpy() for name, parameter in model.named_parameters()}
    return {**found, "logits": logits.detach().numpy(), "loss": loss.detach().numpy()}


def recorded(folder: Path) -> dict[str, Any]:
    return dict(load_file(folder / ANSWERS))


def record(shape: Shape, folder: Path) -> None:
    """Write the checkpoint of ``shape`` and torch's answers to it."""
    import torch
    from transformers import GemmaForCausalLM

    model = GemmaForCausalLM(config_of(shape))
    generator = np.random.default_rng(3)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.2 if parameter.ndim == 1 else parameter.shape[1] ** -0.5
            parameter.copy_(torch.tensor(generator.normal(size=tuple(parameter.shape)) * scale))
    shutil.rmtree(folder, ignore_errors=True)
    model.to(getattr(torch, shape.stored)).save_pretrained(folder, max_shard_size=shape.shard_bytes)
    (folder / "generation_config.json").unlink()
    save_file(answers(folder), folder / ANSWERS)


if __name__ == "__main__":
    for name, shape in SHAPES.items():
        record(shape, FOLDER / name)
