"""Where arrays lie: one table a layout, from logical axes to mesh axes, for parameters at rest and arrays in use.

The mesh has two axes, ``data`` × ``model``; ALL is both. The residual stream is always split by rows over ALL devices.
``fsdp`` gathers each weight where it is used: what travels is the model, whatever the batch. ``tensor`` leaves the
MLP's weights where they are and gathers the rows instead, which is less below some 20,000 tokens a step; attention,
whose weights are small, is gathered there too. The embedding is split by vocabulary in both, and the logits with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from evidence.spec import ModelSpec, PlanSpec, RunSpec
from training.errors import LayoutError

Axes: TypeAlias = tuple[str | None, ...]
ALL = ("data", "model")


@dataclass(frozen=True)
class Layout:
    """Logical axis → mesh axes; an axis that is not named is whole on each device. ``at_rest`` is for parameters and
    optimizer state, ``in_use`` for weights and activations inside the step. ``model_axis``: how many devices share
    one MLP, given all of them."""

    at_rest: Mapping[str, Any]
    in_use: Mapping[str, Any]
    model_axis: bool = False


LAYOUTS: dict[str, Layout] = {
    "replicated": Layout(at_rest={}, in_use={"rows": ALL, "mlp_rows": ALL, "loss_rows": ALL}),
    "fsdp": Layout(
        at_rest={"attention_in": ALL, "mlp_in": ALL, "vocab": ALL},
        in_use={"rows": ALL, "mlp_rows": ALL, "vocab": ALL},
    ),
    "tensor": Layout(
        at_rest={"attention_in": ALL, "mlp_in": "data", "mlp": "model", "vocab": ALL},
        in_use={"rows": ALL, "mlp_rows": "data", "mlp": "model", "vocab": ALL},
        model_axis=True,
    ),
}


@dataclass(frozen=True)
class Placement:
    """A mesh and the layout on it. Hashable, so that a model can carry it through jit.

    ``whole_vocabulary``: the vocabulary cannot be divided, so the embedding is split by width and gathered.
    """

    mesh: Mesh
    layout: str
    whole_vocabulary: bool = False

    @property
    def devices(self) -> int:
        return int(self.mesh.size)

    def at_rest(self, axes: Axes) -> NamedSharding:
        """Where a parameter with these logical axes lies between steps."""
        table = dict(LAYOUTS[self.layout].at_rest)
        if self.whole_vocabulary and table.pop("vocab", None):
            table["vocab_in"] = ALL
        return self._sharding(table, axes)

    def in_use(self, axes: Axes) -> NamedSharding:
        """Where a weight or an activation with these logical axes lies inside the step."""
        table = dict(LAYOUTS[self.layout].in_use)
        if self.whole_vocabulary and table.pop("vocab", None):
            table["loss_rows"] = ALL
        return self._sharding(table, axes)

    def constrain(self, array: jax.Array, *axes: str | None) -> jax.Array:
        """``array`` made to lie as ``in_use`` says, and its gradient with it."""
        return jax.lax.with_sharding_constraint(array, self.in_use(axes))

    def weight(self, array: jax.Array, axes: Axes) -> jax.Array:
        """A weight as it is used. Its gradient goes straight back to where the weight lies at rest: the gathering's
        counterpart is a scattered sum, and a plain constraint would make it a sum on every device."""
        return _moved(array, self.at_rest(axes), self.in_use(axes))

    def moved(self, array: jax.Array, source: Axes, target: Axes) -> jax.Array:
        """An activation that lies as ``source`` says made to lie as ``target``; its gradient goes the other way."""
        return _moved(array, self.in_use(source), self.in_use(target))

    def put_batch(self, array: np.ndarray[Any, Any]) -> jax.Array:
        return self.put(array, self.in_use(("rows",)))

    def put(self, array: np.ndarray[Any, Any], sharding: NamedSharding) -> jax.Array:
        """``array``, which all processes have alike, on the devices; each process puts the parts of its own."""
        if self.mesh.is_multi_process:
            return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
        return jax.device_put(array, sharding)

    def _sharding(self, table: Mapping[str, Any], axes: Axes) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*(table.get(axis) if axis else None for axis in axes)))


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _moved(array: jax.Array, _source: NamedSharding, target: NamedSharding) -> jax.Array:
    return jax.lax.with_sharding_constraint(array, target)


def _moved_forward(array: jax.Array, source: NamedSharding, target: NamedSharding) -> tuple[jax.Array, None]:
    return _moved(array, source, target), None


def _moved_backward(source: NamedSharding, _target: NamedSharding, _: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (jax.lax.with_sharding_constraint(gradient, source),)


_moved.defvjp(_moved_forward, _moved_backward)


def place(spec: RunSpec, plan: PlanSpec, devices: list[Any]) -> Placement:
    """The placement of ``spec`` by ``plan`` over ``devices``. Raises LayoutError for what they cannot divide."""
    count, training = len(devices), spec.training
    micro_batch = training.batch_size // training.gradient_accumulation
    if micro_batch % count:
        raise LayoutError(
            f"training.batch_size {training.batch_size} in {training.gradient_accumulation} micro-batches leaves "
            f"{micro_batch} rows, which {count} devices cannot share evenly; make it a multiple of "
            f"{count * training.gradient_accumulation}"
        )
    model_axis = math.gcd(count, spec.model.intermediate_size) if LAYOUTS[plan.layout].model_axis else 1
    _check_widths(spec.model, plan.layout, count, model_axis)
    shape = (count // model_axis, model_axis)
    near = devices[0].platform == "tpu"  # neighbours on the mesh are neighbours on the board
    grid = mesh_utils.create_device_mesh(shape, devices) if near else np.array(devices).reshape(shape)
    return Placement(Mesh(grid, ALL), plan.layout, spec.model.vocab_size % count != 0)


def _check_widths(model: ModelSpec, layout: str, devices: int, model_axis: int) -> None:
    if layout == "replicated" or devices == 1:
        return
    if model.hidden_size % devices:
        raise LayoutError(
            f"plan.layout {layout} shards model.hidden_size {model.hidden_size} over {devices} devices, which do not "
            "divide it; use plan.layout replicated"
        )
    if layout == "tensor" and model_axis == 1:
        raise LayoutError(
            f"plan.layout tensor shards model.intermediate_size {model.intermediate_size} over {devices} devices, "
            "which have no divisor with it; use plan.layout fsdp"
        )
