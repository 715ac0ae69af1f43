"""The Gemma 1 decoder in Flax NNX: RMS norm by (1 + w), rotary positions, grouped queries, gated GELU, tied embedding.

Axis letters: b batch, s sequence, t key slots (equal to s, or the cache's length), d hidden_size, k key and value
heads, g query heads of one key head, n heads, e head_dim, v vocabulary.

A new model is all zeros: ``weights.py`` fills it. Parameters are float32; activations are of ``How.dtype``, norms and
softmax inside in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from evidence.spec import ModelSpec, PlanSpec
from training.mesh import Placement

Cache: TypeAlias = tuple[Float[Array, "b t k e"], Float[Array, "b t k e"]]
"""Keys and values of one layer, already rotated."""

AXES: dict[str, tuple[str, ...]] = {
    "embedding": ("vocab", "embed"),
    "query": ("embed", "heads"),
    "key": ("embed", "heads"),
    "value": ("embed", "heads"),
    "output": ("heads", "embed"),
    "gate": ("embed", "mlp"),
    "up": ("embed", "mlp"),
    "down": ("mlp", "embed"),
    "attention_norm": ("norm",),
    "mlp_norm": ("norm",),
    "final_norm": ("norm",),
}
"""Logical axes of a parameter by the last part of its path."""

MASKED = -1e30


@dataclass(frozen=True)
class How:
    """How a model computes, which changes nothing of what it computes."""

    dtype: str
    plan: PlanSpec
    placement: Placement

    def weight(self, param: Any) -> jax.Array:
        """A matrix as the matmul wants it. Cast before it is gathered: half the bytes travel."""
        return self.placement.gathered(param[...].astype(self.dtype))


def rms_norm(x: Float[Array, "b s d"], weight: Float[Array, " d"], epsilon: float) -> Float[Array, "b s d"]:
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + epsilon)
    return (wide * scale * (1.0 + weight)).astype(x.dtype)


def rotate(x: Float[Array, "b s n e"], positions: Int[Array, "b s"], theta: float) -> Float[Array, "b s n e"]:
    """Rotary embedding over the two halves of each head (not over neighbouring pairs)."""
    half = x.shape[-1] // 2
    frequency = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = positions[:, :, None, None].astype(jnp.float32) * frequency
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


class Attention(nnx.Module):
    def __init__(self, spec: ModelSpec, how: How) -> None:
        heads, key_heads = spec.num_attention_heads * spec.head_dim, spec.num_key_value_heads * spec.head_dim
        self.spec, self.how = spec, how
        self.query = _matrix(spec.hidden_size, heads)
        self.key = _matrix(spec.hidden_size, key_heads)
        self.value = _matrix(spec.hidden_size, key_heads)
        self.output = _matrix(heads, spec.hidden_size)

    def __call__(
        self,
        x: Float[Array, "b s d"],
        positions: Int[Array, "b s"],
        mask: Bool[Array, "#b s t"],
        cache: Cache | None,
        slot: Int[Array, ""] | int,
    ) -> tuple[Float[Array, "b s d"], Cache | None]:
        batch, length, _ = x.shape
        spec, how = self.spec, self.how
        groups = spec.num_attention_heads // spec.num_key_value_heads
        shape = (batch, length, -1, spec.head_dim)
        query = rotate((x @ how.weight(self.query)).reshape(shape), positions, spec.rope_theta)
        key = rotate((x @ how.weight(self.key)).reshape(shape), positions, spec.rope_theta)
        value = (x @ how.weight(self.value)).reshape(shape)
        if cache is not None:
            key = jax.lax.dynamic_update_slice_in_dim(cache[0], key, slot, axis=1)
            value = jax.lax.dynamic_update_slice_in_dim(cache[1], value, slot, axis=1)
            cache = (key, value)
        query = query.reshape(batch, length, spec.num_key_value_heads, groups, spec.head_dim)
        scores = jnp.einsum("bskge,btke->bkgst", query, key, preferred_element_type=jnp.float32)
        scores = jnp.where(mask[:, None, None], scores * spec.head_dim**-0.5, MASKED)
        weights = jax.nn.softmax(scores, axis=-1).astype(x.dtype)
        mixed = jnp.einsum("bkgst,btke->bskge", weights, value).reshape(batch, length, -1)
        return mixed @ how.weight(self.output), cache


class Mlp(nnx.Module):
    def __init__(self, spec: ModelSpec, how: How) -> None:
        self.how = how
        self.gate = _matrix(spec.hidden_size, spec.intermediate_size)
        self.up = _matrix(spec.hidden_size, spec.intermediate_size)
        self.down = _matrix(spec.intermediate_size, spec.hidden_size)

    def __call__(self, x: Float[Array, "b s d"]) -> Float[Array, "b s d"]:
        gate = jax.nn.gelu(x @ self.how.weight(self.gate), approximate=True)
        return (gate * (x @ self.how.weight(self.up))) @ self.how.weight(self.down)


class Layer(nnx.Module):
    def __init__(self, spec: ModelSpec, how: How) -> None:
        self.spec, self.how = spec, how
        self.attention_norm = nnx.Param(jnp.zeros(spec.hidden_size))
        self.attention = Attention(spec, how)
        self.mlp_norm = nnx.Param(jnp.zeros(spec.hidden_size))
        self.mlp = Mlp(spec, how)

    def __call__(
        self,
        x: Float[Array, "b s d"],
        positions: Int[Array, "b s"],
        mask: Bool[Array, "#b s t"],
        cache: Cache | None = None,
        slot: Int[Array, ""] | int = 0,
    ) -> tuple[Float[Array, "b s d"], Cache | None]:
        normed = rms_norm(x, self.attention_norm[...], self.spec.rms_norm_eps)
        mixed, cache = self.attention(normed, positions, mask, cache, slot)
        x = self.how.placement.by_batch(x + mixed)
        x = x + self.mlp(rms_norm(x, self.mlp_norm[...], self.spec.rms_norm_eps))
        return self.how.placement.by_batch(x), cache


class Gemma(nnx.Module):
    def __init__(self, spec: ModelSpec, how: How) -> None:
        self.spec, self.how = spec, how
        width = spec.hidden_size
        self.embedding = _matrix(spec.vocab_size, width)
        self.layers = nnx.List([Layer(spec, how) for _ in range(spec.num_hidden_layers)])
        self.final_norm = nnx.Param(jnp.zeros(width))

    def __call__(self, tokens: Int[Array, "b s"], segments: Int[Array, "b s"] | None = None) -> Float[Array, "b s d"]:
        """Final hidden states of whole rows: each position sees itself and those before it.

        ``segments`` tell apart the texts packed into a row: none sees another, and positions start again in each.
        """
        length = tokens.shape[1]
        positions = jnp.broadcast_to(jnp.arange(length), tokens.shape)
        mask = jnp.tril(jnp.ones((1, length, length), dtype=bool))
        if segments is not None:
            first = jnp.pad(segments[:, 1:] != segments[:, :-1], ((0, 0), (1, 0)), constant_values=True)
            positions = positions - jax.lax.cummax(jnp.where(first, positions, 0), axis=1)
            mask = mask & (segments[:, :, None] == segments[:, None, :])
        x = self._through_layers(self._embed(tokens), positions, mask)
        return rms_norm(x, self.final_norm[...], self.spec.rms_norm_eps)

    def extend(
        self,
        tokens: Int[Array, "b s"],
        positions: Int[Array, "b s"],
        mask: Bool[Array, "b s t"],
        caches: list[Cache],
        slot: Int[Array, ""] | int,
    ) -> tuple[Float[Array, "b s d"], list[Cache]]:
        """Final hidden states of ``tokens`` written into the caches from ``slot`` on, and the caches after that."""
        x, extended = self._embed(tokens), []
        for layer, cache in zip(self.layers, caches, strict=True):
            x, cache = layer(x, positions, mask, cache, slot)
            extended.append(cache)
        return rms_norm(x, self.final_norm[...], self.spec.rms_norm_eps), extended

    def logits(self, hidden: Float[Array, "b s d"]) -> Float[Array, "b s v"]:
        """Logits in float32, through the tied embedding."""
        embedding = self.how.weight(self.embedding)
        return jnp.einsum("bsd,vd->bsv", hidden, embedding, preferred_element_type=jnp.float32)

    def empty_caches(self, batch: int, slots: int) -> list[Cache]:
        shape = (batch, slots, self.spec.num_key_value_heads, self.spec.head_dim)
        return [(jnp.zeros(shape, self.how.dtype), jnp.zeros(shape, self.how.dtype)) for _ in self.layers]

    def _embed(self, tokens: Int[Array, "b s"]) -> Float[Array, "b s d"]:
        # As in transformers: the normalizer is rounded to the activations' type before it multiplies.
        normalizer = jnp.asarray(self.spec.hidden_size**0.5, dtype=self.how.dtype)
        return self.how.placement.by_batch(self.embedding[tokens].astype(self.how.dtype) * normalizer)

    def _through_layers(
        self, x: Float[Array, "b s d"], positions: Int[Array, "b s"], mask: Bool[Array, "#b s t"]
    ) -> Float[Array, "b s d"]:
        graph, _ = nnx.split(self.layers[0])

        def run(x: jax.Array, state: Any) -> tuple[jax.Array, None]:
            return nnx.merge(graph, state)(x, positions, mask)[0], None

        if self.how.plan.remat == "layer":
            run = jax.checkpoint(run)
        states = [nnx.split(layer)[1] for layer in self.layers]
        if self.how.plan.scan_layers:
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
            return jax.lax.scan(run, x, stacked)[0]
        for state in states:
            x, _ = run(x, state)
        return x


def _matrix(rows: int, columns: int) -> nnx.Param[Any]:
    return nnx.Param(jnp.zeros((rows, columns)))
