"""Cross-entropy over supervised tokens through the tied embedding, a chunk of the sequence at a time.

The gradient is made beside the loss, chunk by chunk, while the logits are there: they are computed once, and neither
batch × length × vocabulary logits nor their softmax ever exist whole. The embedding's gradient is summed in float32.
Where the embedding is split by vocabulary, each device sees all rows of a chunk and its own share of the words.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from training.gemma import AXES, LOSS_ROWS, ROWS, Gemma, How, outer

LOGITS = ("loss_rows", None, "vocab")


def loss_sum(
    model: Gemma, tokens: Int[Array, "b s"], mask: UInt8[Array, "b s"], segments: Int[Array, "b s"] | None = None
) -> Float[Array, ""]:
    """Summed negative log-likelihood (nats) of the tokens whose mask is 1, each predicted from those before it."""
    hidden = model(tokens, segments)
    targets = jnp.pad(tokens[:, 1:], ((0, 0), (0, 1)))
    weights = jnp.pad(mask[:, 1:], ((0, 0), (0, 1))).astype(jnp.float32)
    length = _chunk_length(model.how, *tokens.shape)
    return cross_entropy(model.how, length, hidden, model.embedding[...], targets, weights)


def _chunk_length(how: How, batch: int, length: int) -> int:
    """Positions of one chunk, so that ``loss_chunk_tokens`` whole rows of logits, or as many bytes, lie on a device."""
    limit = how.plan.loss_chunk_tokens
    rows = max(1, batch // how.placement.devices)
    return min(length, max(1, limit // rows)) if limit else length


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def cross_entropy(
    how: How,
    length: int,
    hidden: Float[Array, "b s d"],
    embedding: Float[Array, "v d"],
    targets: Int[Array, "b s"],
    weights: Float[Array, "b s"],
) -> Float[Array, ""]:
    """Σ weights · (logsumexp(logits) − logits[target]) with logits = hidden · embeddingᵀ in float32.

    ``length``: positions of one chunk.
    """
    table = how.placement.weight(embedding.astype(how.dtype), AXES["embedding"])

    def add(total: jax.Array, chunk: Any) -> tuple[jax.Array, None]:
        _, log_total, picked, _ = _logits(how, table, *chunk[:2])
        return total + jnp.sum((log_total - picked) * chunk[2]), None

    return jax.lax.scan(add, jnp.zeros(()), _chunks(length, hidden, targets, weights))[0]


def _forward(
    how: How, length: int, hidden: jax.Array, embedding: jax.Array, targets: jax.Array, weights: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    table = how.placement.weight(embedding.astype(how.dtype), AXES["embedding"])

    def add(carry: Any, chunk: Any) -> tuple[Any, jax.Array]:
        total, gradient = carry
        part, weight = chunk[0], chunk[2]
        logits, log_total, picked, wanted = _logits(how, table, *chunk[:2])
        share = (jnp.exp(logits - log_total[..., None]) - wanted) * weight[..., None]
        share = how.placement.constrain(share.astype(how.dtype), *LOGITS)
        part = how.placement.constrain(part, *LOSS_ROWS)
        gradient += _outer(share, part)
        back = how.placement.constrain(jnp.einsum("bsv,vd->bsd", share, table), *ROWS)
        return (total + jnp.sum((log_total - picked) * weight), gradient), back

    nothing = jnp.zeros(embedding.shape, jnp.float32, device=how.placement.in_use(AXES["embedding"]))
    chunks = _chunks(length, hidden, targets, weights)
    if length >= hidden.shape[1]:
        (total, gradient), back = add((jnp.zeros(()), nothing), jax.tree.map(lambda chunk: chunk[0], chunks))
        back = back[None]
    else:
        (total, gradient), back = jax.lax.scan(add, (jnp.zeros(()), nothing), chunks)
    back = jnp.moveaxis(back, 0, 1).reshape(hidden.shape[0], -1, hidden.shape[2])[:, : hidden.shape[1]]
    gradient = jax.lax.with_sharding_constraint(gradient, how.placement.at_rest(AXES["embedding"]))
    return total, (how.placement.constrain(back, *ROWS), gradient, weights)


def _backward(
    _how: How, _length: int, kept: tuple[jax.Array, jax.Array, jax.Array], scale: jax.Array
) -> tuple[jax.Array, jax.Array, None, jax.Array]:
    back, gradient, weights = kept
    return (back * scale).astype(back.dtype), gradient * scale, None, jnp.zeros_like(weights)


cross_entropy.defvjp(_forward, _backward)


def _logits(
    how: How, table: jax.Array, hidden: jax.Array, targets: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Float32 logits of a chunk, their logsumexp, the target's logit, and where the target is (0 or 1)."""
    rows = how.placement.moved(hidden, ROWS, LOSS_ROWS)
    logits = jnp.einsum("bsd,vd->bsv", rows, table, preferred_element_type=jnp.float32)
    logits = how.placement.constrain(logits, *LOGITS)
    wanted = targets[..., None] == jnp.arange(table.shape[0])
    # A sum over a comparison instead of a look-up, so that no device needs another's words.
    picked = jnp.sum(jnp.where(wanted, logits, 0.0), axis=-1)
    return logits, jax.nn.logsumexp(logits, axis=-1), picked, wanted


def _outer(share: jax.Array, part: jax.Array) -> jax.Array:
    """The embedding's gradient, summed in float32."""
    if share.dtype == jnp.float32:
        return outer(share, part)
    # XLA:CPU folds a transposed result into a matmul of mixed types that it then cannot run.
    return jnp.einsum("bsv,bsd->vd", share, part, preferred_element_type=jnp.float32)


def _chunks(length: int, *arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The arrays (b, s, …) as (chunks, b, length, …), filled up with zeros, which weigh nothing."""

    def split(array: jax.Array) -> jax.Array:
        spare = -array.shape[1] % length
        padded = jnp.pad(array, ((0, 0), (0, spare), *((0, 0),) * (array.ndim - 2)))
        return jnp.moveaxis(padded.reshape(array.shape[0], -1, length, *array.shape[2:]), 1, 0)

    return tuple(split(array) for array in arrays)
