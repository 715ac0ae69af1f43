"""The train step: pure, jitted once, its state donated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import NamedSharding

from evidence import events
from evidence.spec import RunSpec
from training import loss, optimizer
from training.gemma import AXES, Gemma, How
from training.mesh import Placement
from training.throughput import model_flops_per_step


class State(NamedTuple):
    """Everything that a step changes. ``params`` is the model's parameters as nested dictionaries."""

    params: Any
    moments: Any


class Metrics(NamedTuple):
    """``loss`` and ``grad_norm`` (unclipped) before the update, ``param_norm`` after it; float32 scalars."""

    loss: jax.Array
    grad_norm: jax.Array
    param_norm: jax.Array


@dataclass(frozen=True)
class Trainer:
    """A spec made ready for one placement: the model's graph, where each leaf lies, and the step."""

    spec: RunSpec
    placement: Placement
    graph: Any
    abstract: State
    shardings: State

    def model(self, params: Any) -> Gemma:
        return nnx.merge(self.graph, params)

    def start(self, params: Any) -> State:
        moments = jax.jit(optimizer.transformation(self.spec.optimizer).init, out_shardings=self.shardings.moments)
        return State(params, moments(params))

    def step(self, state: State, batch: Mapping[str, jax.Array], learning_rate: jax.Array) -> tuple[State, Metrics]:
        """One update by the mean over all supervised tokens of the batch, however many micro-batches carry it."""
        mean_loss, gradient = self._gradient(state.params, batch)
        updates, moments = optimizer.transformation(self.spec.optimizer).update(gradient, state.moments, state.params)
        params = jax.tree.map(lambda leaf, update: leaf - learning_rate * update, state.params, updates)
        return State(params, moments), Metrics(mean_loss, optax.tree.norm(gradient), optax.tree.norm(params))

    def lower(self) -> Any:
        """The step lowered for this placement's devices, from shapes alone."""
        training = self.spec.training
        shape = (training.batch_size, training.sequence_length)
        arrays = {"tokens": jax.ShapeDtypeStruct(shape, jnp.int32), "mask": jax.ShapeDtypeStruct(shape, jnp.uint8)}
        if self.spec.data.packing:
            arrays["segments"] = jax.ShapeDtypeStruct(shape, jnp.int32)
        batch, scalar = self.placement.sharding("batch"), self.placement.sharding()
        jitted = jax.jit(
            self.step,
            in_shardings=(self.shardings, batch, scalar),
            out_shardings=(self.shardings, scalar),
            donate_argnums=0,
        )
        return jitted.lower(
            self.abstract,
            arrays,
            jax.ShapeDtypeStruct((), jnp.float32),
        )

    def _gradient(self, params: Any, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, Any]:
        count = jnp.maximum(jnp.sum(batch["mask"][:, 1:].astype(jnp.float32)), 1.0)

        def share(params: Any, part: Mapping[str, jax.Array]) -> jax.Array:
            return loss.loss_sum(self.model(params), part["tokens"], part["mask"], part.get("segments")) / count

        value_and_grad = jax.value_and_grad(share)
        parts = self.spec.training.gradient_accumulation
        if parts == 1:
            return value_and_grad(params, batch)

        def micro_batches(array: jax.Array) -> jax.Array:
            # Neighbouring rows go to different micro-batches, so each of them lies on all devices as the batch does.
            split = jnp.swapaxes(array.reshape(-1, parts, array.shape[1]), 0, 1)
            return jax.lax.with_sharding_constraint(split, self.placement.sharding(None, "batch"))

        def add(total: Any, part: Mapping[str, jax.Array]) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, value_and_grad(params, part)), None

        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        return jax.lax.scan(add, nothing, jax.tree.map(micro_batches, dict(batch)))[0]


def prepare(spec: RunSpec, placement: Placement) -> Trainer:
    """A Trainer, from shapes alone: nothing is allocated."""
    how = How(spec.training.compute_dtype, spec.plan, placement)
    graph, state = nnx.split(nnx.eval_shape(lambda: Gemma(spec.model, how)))
    params = nnx.to_pure_dict(state)
    moments = jax.eval_shape(optimizer.transformation(spec.optimizer).init, params)
    abstract = State(params, moments)
    return Trainer(spec, placement, graph, abstract, _shardings(abstract, placement))


def compile_step(trainer: Trainer) -> tuple[Any, events.Program]:
    """The compiled step and what its compiler says of it."""
    lowered = trainer.lower()
    started = time.monotonic()
    compiled = lowered.compile()
    seconds = time.monotonic() - started
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    return compiled, events.Program(
        time=events.now(),
        program_sha256=hashlib.sha256(lowered.as_text().encode()).hexdigest(),
        lowered_for=trainer.placement.mesh.devices.flat[0].platform,
        compile_seconds=seconds,
        model_flops_per_step=model_flops_per_step(trainer.spec),
        compiler_flops_per_step=max(0.0, float(cost.get("flops", 0.0))),
        argument_bytes=int(memory.argument_size_in_bytes),
        output_bytes=int(memory.output_size_in_bytes),
        temporary_bytes=int(memory.temp_size_in_bytes),
        alias_bytes=int(memory.alias_size_in_bytes),
    )


def _shardings(abstract: State, placement: Placement) -> State:
    """A parameter's by its name. A moment lies as the parameter it belongs to; whatever has another shape is whole."""

    def shard(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        names = [str(getattr(part, "key", "")) for part in path]
        axes = AXES.get(names[-1], ())
        return placement.sharding(*axes) if len(axes) == leaf.ndim else placement.sharding()

    return jax.tree_util.tree_map_with_path(shard, abstract)
