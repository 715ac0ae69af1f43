"""The Gemma 1 decoder in Flax NNX: RMS norm by (1 + w), rotary positions, grouped queries, gated GELU, tied embedding.

Axis letters: b batch, s sequence, t key slots (equal to s, or the cache's length), d hidden_size, k key and value
heads, g query heads of one key head, n heads, e head_dim, v vocabulary, m intermediate_size, r rank of an adapter.

A new model is all zeros: ``weights.py`` fills it. Parameters are float32; activations are of ``How.dtype``, norms and
softmax inside in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from evidence.spec import LoraSpec, ModelSpec, PlanSpec
from training.mesh import Axes, Placement

Cache: TypeAlias = tuple[Float[Array, "b t k e"], Float[Array, "b t k e"]]
"""Keys and values of one layer, already rotated."""

AXES: dict[str, tuple[str, ...]] = {
    "embedding": ("vocab", "vocab_in"),
    "query": ("attention_in", "heads"),
    "key": ("attention_in", "heads"),
    "value": ("attention_in", "heads"),
    "output": ("heads", "attention_in"),
    "gate": ("mlp_in", "mlp"),
    "up": ("mlp_in", "mlp"),
    "down": ("mlp", "mlp_in"),
    "attention_norm": ("norm",),
    "mlp_norm": ("norm",),
    "final_norm": ("norm",),
}
"""Logical axes of a parameter by the last part of its path; ``mesh.py`` says where they lie."""

ADAPTER_IN, ADAPTER_OUT = "_lora_in", "_lora_out"
"""Suffixes of the two factors that LoRA adds to a matrix: (rows, rank) and (rank, columns)."""
AXES |= {f"{name}{ADAPTER_IN}": (axes[0], "rank") for name, axes in AXES.items() if len(axes) == 2}
AXES |= {
    f"{name}{ADAPTER_OUT}": ("rank", axes[1]) for name, axes in AXES.items() if len(axes) == 2 and "_lora" not in name
}

ROWS: Axes = ("rows", None, None)
LOSS_ROWS: Axes = ("loss_rows", None, None)
MLP_ROWS: Axes = ("mlp_rows", None, None)
HIDDEN: Axes = ("mlp_rows", None, "mlp")

MASKED = -1e30

SAVED: dict[str, tuple[str, ...]] = {
    "attention": ("query", "key", "value", "mixed", "gate", "up", "mlp_input"),
    "mlp": ("query", "key", "value", "mixed"),
    "layer": (),
}
"""What the backward pass finds saved, by ``plan.remat``; the rest of the layer is recomputed. ``none`` saves all."""


@dataclass(frozen=True)
class How:
    """How a model computes, which changes nothing of what it computes."""

    dtype: str
    plan: PlanSpec
    placement: Placement

    def weight(self, param: Any, name: str) -> jax.Array:
        """A matrix as the matmul wants it. Cast before it is gathered: half the bytes travel."""
        return self.placement.weight(param[...].astype(self.dtype), AXES[name])


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


class Matrices(nnx.Module):
    """Named matrices of one module, each with LoRA's two factors beside it when the spec adapts it.

    With adapters ``x @ w`` becomes ``x @ w + (x @ a) @ b · alpha / rank`` (Hu et al. 2021).
    """

    def __init__(self, how: How, lora: LoraSpec, shapes: dict[str, tuple[int, int]]) -> None:
        self.how, self.lora = how, lora
        for name, (rows, columns) in shapes.items():
            setattr(self, name, _matrix(rows, columns))
            if lora.adapts(name):
                setattr(self, f"{name}{ADAPTER_IN}", _matrix(rows, lora.rank))
                setattr(self, f"{name}{ADAPTER_OUT}", _matrix(lora.rank, columns))

    def times(self, x: Float[Array, "b s i"], name: str) -> Float[Array, "b s o"]:
        whole = product(x, self.how.weight(getattr(self, name), name))
        if not self.lora.adapts(name):
            return whole
        first, second = f"{name}{ADAPTER_IN}", f"{name}{ADAPTER_OUT}"
        inner = product(x, self.how.weight(getattr(self, first), first))
        scale = self.lora.alpha / self.lora.rank
        return whole + product(inner, self.how.weight(getattr(self, second), second)) * scale


@jax.custom_vjp
def product(x: Float[Array, "b s i"], weight: Float[Array, "i o"]) -> Float[Array, "b s o"]:
    """``x @ weight``; its gradient transposes the narrower of the two activations.

    jax's own rule always transposes the output's gradient. On a CPU that is a copy, and a slow one for the MLP.
    """
    return x @ weight


def _product_forward(x: jax.Array, weight: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return product(x, weight), (x, weight)


def _product_backward(kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, weight = kept
    return jnp.einsum("bso,io->bsi", gradient, weight), outer(x, gradient)


product.defvjp(_product_forward, _product_backward)


def outer(left: Float[Array, "b s i"], right: Float[Array, "b s o"]) -> Float[Array, "i o"]:
    """Σ over rows and positions of left ⊗ right, with the narrower one as the matmul's transposed side."""
    if left.shape[-1] <= right.shape[-1]:
        return jnp.einsum("bsi,bso->io", left, right)
    return jnp.einsum("bso,bsi->oi", right, left).T


class Attention(Matrices):
    def __init__(self, spec: ModelSpec, lora: LoraSpec, how: How) -> None:
        heads, key_heads = spec.num_attention_heads * spec.head_dim, spec.num_key_value_heads * spec.head_dim
        width = spec.hidden_size
        shapes = {"query": (width, heads), "key": (width, key_heads), "value": (width, key_heads)}
        super().__init__(how, lora, {**shapes, "output": (heads, width)})
        self.spec = spec

    def __call__(
        self,
        x: Float[Array, "b s d"],
        positions: Int[Array, "b s"],
        mask: Bool[Array, "#b s t"],
        cache: Cache | None,
        slot: Int[Array, ""] | int,
    ) -> tuple[Float[Array, "b s d"], Cache | None]:
        batch, length, _ = x.shape
        spec = self.spec
        shape = (batch, length, -1, spec.head_dim)
        query = checkpoint_name(rotate(self.times(x, "query").reshape(shape), positions, spec.rope_theta), "query")
        key = checkpoint_name(rotate(self.times(x, "key").reshape(shape), positions, spec.rope_theta), "key")
        value = checkpoint_name(self.times(x, "value").reshape(shape), "value")
        if cache is not None:
            key = jax.lax.dynamic_update_slice_in_dim(cache[0], key, slot, axis=1)
            value = jax.lax.dynamic_update_slice_in_dim(cache[1], value, slot, axis=1)
            cache = (key, value)
        mixed = checkpoint_name(attend(query, key, value, mask), "mixed")
        return self.times(mixed, "output"), cache


def attend(
    query: Float[Array, "b s n e"],
    key: Float[Array, "b t k e"],
    value: Float[Array, "b t k e"],
    mask: Bool[Array, "#b s t"],
) -> Float[Array, "b s _"]:
    """Softmax attention; each key head serves n/k query heads. Scores and softmax in float32."""
    batch, length, heads, width = query.shape
    grouped = query.reshape(batch, length, key.shape[2], heads // key.shape[2], width)
    scores = jnp.einsum("bskge,btke->bkgst", grouped, key, preferred_element_type=jnp.float32)
    scores = jnp.where(mask[:, None, None], scores * width**-0.5, MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(query.dtype)
    return jnp.einsum("bkgst,btke->bskge", weights, value).reshape(batch, length, -1)


class Mlp(Matrices):
    def __init__(self, spec: ModelSpec, lora: LoraSpec, how: How) -> None:
        inward = (spec.hidden_size, spec.intermediate_size)
        super().__init__(how, lora, {"gate": inward, "up": inward, "down": inward[::-1]})

    def __call__(self, x: Float[Array, "b s d"]) -> Float[Array, "b s d"]:
        x = checkpoint_name(self.how.placement.moved(x, ROWS, MLP_ROWS), "mlp_input")
        gate = checkpoint_name(self.times(x, "gate"), "gate")
        up = checkpoint_name(self.times(x, "up"), "up")
        hidden = self.how.placement.constrain(gated(gate, up), *HIDDEN)
        return self.how.placement.moved(self.times(hidden, "down"), MLP_ROWS, ROWS)


@jax.checkpoint  # two products are kept for the backward pass instead of four; the rest is cheap to do again
def gated(gate: Float[Array, "b s m"], up: Float[Array, "b s m"]) -> Float[Array, "b s m"]:
    return jax.nn.gelu(gate, approximate=True) * up


class Layer(nnx.Module):
    def __init__(self, spec: ModelSpec, lora: LoraSpec, how: How) -> None:
        self.spec, self.how = spec, how
        self.attention_norm = nnx.Param(jnp.zeros(spec.hidden_size))
        self.attention = Attention(spec, lora, how)
        self.mlp_norm = nnx.Param(jnp.zeros(spec.hidden_size))
        self.mlp = Mlp(spec, lora, how)

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
        x = self.how.placement.constrain(x + mixed, *ROWS)
        x = x + self.mlp(rms_norm(x, self.mlp_norm[...], self.spec.rms_norm_eps))
        return self.how.placement.constrain(x, *ROWS), cache


class Gemma(nnx.Module):
    def __init__(self, spec: ModelSpec, lora: LoraSpec, how: How) -> None:
        self.spec, self.how = spec, how
        width = spec.hidden_size
        self.embedding = _matrix(spec.vocab_size, width)
        self.layers = nnx.List([Layer(spec, lora, how) for _ in range(spec.num_hidden_layers)])
        self.final_norm = nnx.Param(jnp.zeros(width))

    def __call__(self, tokens: Int[Array, "b s"], segments: Int[Array, "b s"] | None = None) -> Float[Array, "b s d"]:
        """Final hidden states of whole rows: each position sees itself and those before it.

        ``segments`` (from 1; 0 is padding) tell apart the texts packed into a row: none sees another, and positions
        begin anew in each.
        """
        length = tokens.shape[1]
        causal = jnp.tril(jnp.ones((1, length, length), dtype=bool))
        places = jnp.broadcast_to(jnp.arange(length), tokens.shape)
        if segments is None:
            positions, mask = places, causal
        else:
            same = segments[:, :, None] == segments[:, None, :]
            first = jnp.pad(segments[:, 1:] != segments[:, :-1], ((0, 0), (1, 0)), constant_values=True)
            positions = places - jax.lax.cummax(jnp.where(first, places, 0), axis=1)
            mask = causal & same
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
        embedding = self.how.weight(self.embedding, "embedding")
        return jnp.einsum("bsd,vd->bsv", hidden, embedding, preferred_element_type=jnp.float32)

    def empty_caches(self, batch: int, slots: int) -> list[Cache]:
        shape = (batch, slots, self.spec.num_key_value_heads, self.spec.head_dim)
        return [(jnp.zeros(shape, self.how.dtype), jnp.zeros(shape, self.how.dtype)) for _ in self.layers]

    def _embed(self, tokens: Int[Array, "b s"]) -> Float[Array, "b s d"]:
        # From the float32 table where it lies at rest: its gradient is then summed in float32, on the word's device.
        rows = self.embedding[...][self.how.placement.constrain(tokens, *LOSS_ROWS[:2])].astype(self.how.dtype)
        # As in transformers: the normalizer is rounded to the activations' type before it multiplies.
        normalizer = jnp.asarray(self.spec.hidden_size**0.5, dtype=self.how.dtype)
        return self.how.placement.moved(rows, LOSS_ROWS, ROWS) * normalizer

    def _through_layers(
        self, x: Float[Array, "b s d"], positions: Int[Array, "b s"], mask: Bool[Array, "#b s t"]
    ) -> Float[Array, "b s d"]:
        graph, _ = nnx.split(self.layers[0])

        def run(x: jax.Array, state: Any) -> tuple[jax.Array, None]:
            return nnx.merge(graph, state)(x, positions, mask)[0], None

        step = _rematerialized(run, self.how.plan.remat)
        states = [nnx.split(layer)[1] for layer in self.layers]
        if self.how.plan.layers == "scanned":
            # Matrices are cast before they are stacked, so the stack is half as large; norms keep their type.
            stacked = jax.tree.map(lambda *leaves: jnp.stack([self._cast(leaf) for leaf in leaves]), *states)
            return jax.lax.scan(step, x, stacked)[0]
        for state in states:
            x, _ = step(x, state)
        return x

    def _cast(self, leaf: jax.Array) -> jax.Array:
        return leaf.astype(self.how.dtype) if leaf.ndim > 1 else leaf


def _rematerialized(run: Callable[..., Any], remat: str) -> Callable[..., Any]:
    """``run`` with what ``remat`` does not save recomputed in the backward pass."""
    if remat == "none":
        return run
    return jax.checkpoint(run, policy=jax.checkpoint_policies.save_only_these_names(*SAVED[remat]))


def _matrix(rows: int, columns: int) -> nnx.Param[Any]:
    return nnx.Param(jnp.zeros((rows, columns)))
