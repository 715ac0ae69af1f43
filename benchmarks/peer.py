"""The peer of the training benchmarks: transformers' FlaxGemma under a plain optax step."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from evidence.spec import RunSpec
from training.weight_files import parameters

Update = Callable[[Any, Any, jax.Array], tuple[Any, Any, jax.Array, jax.Array, jax.Array]]


def flax_gemma(spec: RunSpec) -> Any:
    """FlaxGemmaForCausalLM of the spec's shape, without weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import FlaxGemmaForCausalLM, GemmaConfig

    model = spec.model
    config = GemmaConfig(
        vocab_size=model.vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_hidden_layers,
        num_attention_heads=model.num_attention_heads,
        num_key_value_heads=model.num_key_value_heads,
        head_dim=model.head_dim,
        rms_norm_eps=model.rms_norm_eps,
        rope_theta=model.rope_theta,
        max_position_embeddings=model.max_position_embeddings,
        hidden_activation="gelu_pytorch_tanh",
    )
    return FlaxGemmaForCausalLM(config, _do_init=False, dtype=jnp.dtype(spec.training.compute_dtype))


def transformation(spec: RunSpec) -> optax.GradientTransformation:
    """Clipping and AdamW by optax, as a user of it would write them; norms are not decayed."""
    optimizer = spec.optimizer
    return optax.chain(
        optax.clip_by_global_norm(optimizer.gradient_clip),
        optax.adamw(
            optimizer.learning_rate,
            b2=optimizer.beta2,
            weight_decay=optimizer.weight_decay,
            mask=lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 1, tree),
        ),
    )


def update(spec: RunSpec) -> Update:
    """``(params, moments, tokens) -> (params, moments, loss, gradient norm, parameter norm)``; every token counts."""
    model, optimizer = flax_gemma(spec), transformation(spec)

    def loss_of(params: Any, tokens: jax.Array) -> jax.Array:
        logits = model(tokens, params=params).logits.astype(jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits[:, :-1], tokens[:, 1:]).mean()

    def step(params: Any, moments: Any, tokens: jax.Array) -> tuple[Any, Any, jax.Array, jax.Array, jax.Array]:
        loss, gradient = jax.value_and_grad(loss_of)(params, tokens)
        updates, moments = optimizer.update(gradient, moments, params)
        params = optax.apply_updates(params, updates)
        return params, moments, loss, optax.tree.norm(gradient), optax.tree.norm(params)

    return step


def as_transformers(spec: RunSpec, params: Any) -> Any:
    """Our parameters as FlaxGemma nests them; its dense layers keep matrices as (in, out), as ours do."""
    tree: dict[str, Any] = {}
    for parameter in parameters(spec.model):
        leaf: Any = params
        for part in parameter.path.split("."):
            leaf = leaf[int(part) if part.isdigit() else part]
        *parts, last = parameter.name.split(".")
        node = tree
        for part in parts:
            node = node.setdefault(part, {})
        matrix = "embedding" if parameter.path == "embedding" else "kernel"
        node[matrix if leaf.ndim == 2 else last] = jnp.copy(leaf)
    return tree
