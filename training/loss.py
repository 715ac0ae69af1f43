"""Cross-entropy over supervised tokens, all logits at once or a chunk of the sequence at a time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from training.gemma import Gemma


def loss_sum(
    model: Gemma, tokens: Int[Array, "b s"], mask: UInt8[Array, "b s"], segments: Int[Array, "b s"] | None = None
) -> Float[Array, ""]:
    """Summed negative log-likelihood (nats) of the tokens whose mask is 1, each predicted from those before it."""
    hidden = model(tokens, segments)
    targets = jnp.pad(tokens[:, 1:], ((0, 0), (0, 1)))
    weights = jnp.pad(mask[:, 1:], ((0, 0), (0, 1))).astype(jnp.float32)
    length = _chunk_length(model, *tokens.shape)
    if length >= tokens.shape[1]:
        return _cross_entropy(model, hidden, targets, weights)
    return _chunked(model, hidden, targets, weights, length)


def _chunk_length(model: Gemma, batch: int, length: int) -> int:
    """Positions of one chunk: every device holds its share of the batch for each of them."""
    limit = model.how.plan.loss_chunk_tokens
    rows = max(1, batch // model.how.placement.devices)
    return max(1, limit // rows) if limit else length


def _chunked(
    model: Gemma, hidden: Float[Array, "b s d"], targets: Int[Array, "b s"], weights: Float[Array, "b s"], length: int
) -> Float[Array, ""]:
    spare = -hidden.shape[1] % length

    def chunks(array: jax.Array) -> jax.Array:
        padded = jnp.pad(array, ((0, 0), (0, spare), *((0, 0),) * (array.ndim - 2)))
        return jnp.moveaxis(padded.reshape(array.shape[0], -1, length, *array.shape[2:]), 1, 0)

    @jax.checkpoint  # without it the backward pass keeps every chunk's logits, which are what chunks save
    def add(total: jax.Array, chunk: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        return total + _cross_entropy(model, *chunk), None

    return jax.lax.scan(add, jnp.zeros(()), (chunks(hidden), chunks(targets), chunks(weights)))[0]


def _cross_entropy(
    model: Gemma, hidden: Float[Array, "b s d"], targets: Int[Array, "b s"], weights: Float[Array, "b s"]
) -> Float[Array, ""]:
    logits = model.how.placement.by_batch(model.logits(hidden))
    picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jnp.sum((jax.nn.logsumexp(logits, axis=-1) - picked) * weights)
