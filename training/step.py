"""The train step: pure, jitted once, its state donated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import NamedSharding

from evidence import events
from evidence.plan import choose
from evidence.spec import PlanSpec, RunSpec
from training import loss, optimizer
from training.devices import memory_bytes
from training.gemma import AXES, Gemma, How
from training.mesh import Placement, place
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
    """A spec made ready for one placement: the model's graph, where each leaf lies, and the step.

    ``plan`` is the spec's with nothing left to choose.
    """

    spec: RunSpec
    plan: PlanSpec
    placement: Placement
    graph: Any
    abstract: State
    shardings: State

    @property
    def platform(self) -> str:
        return str(self.placement.mesh.devices.flat[0].platform)

    def model(self, params: Any) -> Gemma:
        return nnx.merge(self.graph, params)

    def start(self, params: Any) -> State:
        """The state before step 1."""
        initialize = jax.jit(self._transformation.init, out_shardings=self.shardings.moments)
        return State(params, initialize(optimizer.trained(self.spec, params)))

    def step(self, state: State, batch: Mapping[str, jax.Array], learning_rate: jax.Array) -> tuple[State, Metrics]:
        """One update by the mean over all supervised tokens of the batch, however many micro-batches carry it."""
        before = optimizer.trained(self.spec, state.params)
        mean_loss, gradient = self._gradient(before, state.params, batch)
        updates, moments = self._transformation.update(gradient, state.moments, before)
        after = jax.tree.map(lambda leaf, update: leaf - learning_rate * update, before, updates)
        params = optimizer.with_trained(state.params, after)
        return State(params, moments), Metrics(mean_loss, optax.tree.norm(gradient), optax.tree.norm(params))

    def lower(self, platform: str = "") -> Any:
        """The step lowered for this placement's devices, from shapes alone.

        ``platform``: as if they were of that one (cpu, cuda, tpu), which need not be here; the text is as it is there.
        """
        batch, scalar = self.placement.in_use(("rows",)), self.placement.in_use(())
        jitted = jax.jit(
            self.step,
            in_shardings=(self.shardings, batch, scalar),
            out_shardings=(self.shardings, scalar),
            donate_argnums=0,
        )
        traced = jitted.trace(self.abstract, self.abstract_batch(), jax.ShapeDtypeStruct((), jnp.float32))
        return traced.lower(lowering_platforms=(platform,)) if platform else traced.lower()

    def abstract_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of what a step is given: ``tokens``, ``mask`` and with packing ``segments``, (rows, length)."""
        shape = (self.spec.training.batch_size, self.spec.training.sequence_length)
        types = {"tokens": jnp.int32, "mask": jnp.uint8, **({"segments": jnp.int32} if self.spec.data.packing else {})}
        return {name: jax.ShapeDtypeStruct(shape, kind) for name, kind in types.items()}

    @property
    def _transformation(self) -> optax.GradientTransformation:
        return optimizer.transformation(self.spec.optimizer)

    def _gradient(self, trained: Any, params: Any, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, Any]:
        count = jnp.maximum(jnp.sum(batch["mask"][:, 1:].astype(jnp.float32)), 1.0)

        def share(trained: Any, part: Mapping[str, jax.Array]) -> jax.Array:
            model = self.model(optimizer.with_trained(params, trained))
            return loss.loss_sum(model, part["tokens"], part["mask"], part.get("segments")) / count

        value_and_grad = jax.value_and_grad(share)
        parts = self.spec.training.gradient_accumulation
        if parts == 1:
            return value_and_grad(trained, batch)

        def micro_batches(array: jax.Array) -> jax.Array:
            # Neighbouring rows go to different micro-batches, so each of them lies on all devices as the batch does.
            split = array.reshape(-1, parts, array.shape[1]).swapaxes(0, 1)
            return self.placement.constrain(split, None, "rows")

        def add(total: Any, part: Mapping[str, jax.Array]) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, value_and_grad(trained, part)), None

        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, trained))
        return jax.lax.scan(add, nothing, jax.tree.map(micro_batches, dict(batch)))[0]


def prepare(spec: RunSpec, devices: list[Any]) -> Trainer:
    """A Trainer over ``devices``, from shapes alone: nothing is allocated. Raises LayoutError."""
    plan = choose(spec, len(devices), memory_bytes(devices))
    placement = place(spec, plan, devices)
    how = How(spec.training.compute_dtype, plan, placement)
    graph, state = nnx.split(nnx.eval_shape(lambda: Gemma(spec.model, spec.lora, how)))
    params = nnx.to_pure_dict(state)
    moments = jax.eval_shape(optimizer.transformation(spec.optimizer).init, optimizer.trained(spec, params))
    abstract = State(params, moments)
    return Trainer(spec, plan, placement, graph, abstract, _shardings(abstract, placement))


COMPILER_OPTIONS: dict[str, dict[str, str | bool]] = {
    # By default XLA:TPU turns a matmul followed by a scattered sum into a loop of small matmuls and permutes. For this
    # model the loop costs more cycles than the sum it hides: 78.6 ms against 62.3 ms and 17.5 ms of communication.
    "tpu": {"xla_jf_spmd_threshold_for_windowed_einsum_mib": "1000000"},
    # By default XLA:GPU adds up an embedding's gradient in whatever order its threads come, and chooses kernels by
    # timing them: no two runs are alike, and neither a replay nor a resumed run could be held to the same bits.
    "gpu": {"xla_gpu_deterministic_ops": True},
}
"""By platform. A GPU's are needed; a TPU's only make a step faster."""


def compile_lowered(lowered: Any, options: Mapping[str, str | bool]) -> Any:
    """``lowered`` compiled with ``options``; without them where the compiler does not know one that only gains speed.

    Raises JaxRuntimeError.
    """
    try:
        return lowered.compile(compiler_options=dict(options) or None)
    except jax.errors.JaxRuntimeError as error:
        needed = options.keys() & COMPILER_OPTIONS["gpu"].keys()
        if needed or not options or "No such compile option" not in str(error):
            raise
        print(f"compiled without the options of another compiler version: {error}", flush=True)
        return lowered.compile()


def program_sha256(lowered: Any) -> str:
    """Digest of a lowered step's StableHLO text: the same in every process, whatever compiles it later."""
    return hashlib.sha256(lowered.as_text().encode()).hexdigest()


def compile_step(trainer: Trainer) -> tuple[Any, events.Program]:
    """The compiled step and what its compiler says of it."""
    lowered = trainer.lower()
    started = time.monotonic()
    compiled = compile_lowered(lowered, COMPILER_OPTIONS.get(trainer.platform, {}))
    seconds = time.monotonic() - started
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    return compiled, events.Program(
        time=events.now(),
        program_sha256=program_sha256(lowered),
        lowered_for=trainer.platform,
        plan=asdict(trainer.plan),
        compile_seconds=seconds,
        model_flops_per_step=model_flops_per_step(trainer.spec),
        compiler_flops_per_step=max(0.0, float(cost.get("flops", 0.0))),
        argument_bytes=int(memory.argument_size_in_bytes),
        output_bytes=int(memory.output_size_in_bytes),
        temporary_bytes=int(memory.temp_size_in_bytes),
        alias_bytes=int(memory.alias_size_in_bytes),
        peak_bytes=int(memory.peak_memory_in_bytes),
    )


def _shardings(abstract: State, placement: Placement) -> State:
    """A parameter's by its name. A moment lies as the parameter it belongs to; whatever has another shape is whole."""

    def shard(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        names = [str(getattr(part, "key", "")) for part in path]
        axes = AXES.get(names[-1], ())
        return placement.at_rest(axes if len(axes) == leaf.ndim else ())

    return jax.tree_util.tree_map_with_path(shard, abstract)
