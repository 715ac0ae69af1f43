"""Greedy generation with a key-value cache, compiled once for one shape.

Prompts are padded on the left, so every row writes the same cache slot and reads its next token at the same place.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from training.gemma import Gemma


def greedy(
    model: Gemma, prompts: Int[Array, "b p"], lengths: Int[Array, " b"], new_tokens: int, eos: int, pad: int
) -> Int[Array, "b n"]:
    """The most likely continuation of each prompt: ids (b, new_tokens), ``eos`` included, ``pad`` behind it."""
    batch, width = prompts.shape
    spare = width - lengths  # padding in front of each row
    slots = jnp.arange(width + new_tokens)
    seen = slots[None, None, :] >= spare[:, None, None]
    mask = seen & (slots[None, None, :] <= jnp.arange(width)[None, :, None])
    positions = jnp.maximum(jnp.arange(width)[None, :] - spare[:, None], 0)
    hidden, caches = model.extend(prompts, positions, mask, model.empty_caches(batch, width + new_tokens), 0)
    token = jnp.argmax(model.logits(hidden[:, -1:])[:, 0], axis=-1).astype(jnp.int32)

    def going_on(carry: Any) -> Any:
        count, _, _, done, _ = carry
        return (count < new_tokens) & ~jnp.all(done)

    def extend(carry: Any) -> Any:
        count, token, output, done, caches = carry
        token = jnp.where(done, pad, token)
        output = jax.lax.dynamic_update_slice_in_dim(output, token[:, None], count, axis=1)
        done = done | (token == eos)
        slot = width + count
        hidden, caches = model.extend(
            token[:, None], (slot - spare)[:, None], seen & (slots[None, None, :] <= slot), caches, slot
        )
        following = jnp.argmax(model.logits(hidden)[:, 0], axis=-1).astype(jnp.int32)
        return count + 1, following, output, done, caches

    output = jnp.full((batch, new_tokens), pad, jnp.int32)
    start = (jnp.int32(0), token, output, jnp.zeros(batch, bool), caches)
    final = jax.lax.while_loop(going_on, extend, start)
    return final[2]


def left_padded(prompts: list[list[int]], width: int, pad: int) -> tuple[Any, Any]:
    """Prompts as (rows, width) int32 with their lengths; of a longer one the last ``width`` tokens are kept."""
    tokens = np.full((len(prompts), width), pad, np.int32)
    lengths = np.zeros(len(prompts), np.int32)
    for row, prompt in enumerate(prompts):
        kept = prompt[-width:]
        tokens[row, width - len(kept) :] = kept
        lengths[row] = len(kept)
    return tokens, lengths


def until(ids: list[int], eos: int) -> list[int]:
    """``ids`` up to and with the first ``eos``."""
    return ids[: ids.index(eos) + 1] if eos in ids else ids
