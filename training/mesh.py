"""Where arrays lie: one table from an array's logical axes to the mesh's, for parameters and activations alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from evidence.spec import RunSpec
from training.errors import LayoutError

LAYOUTS: dict[str, dict[str, str | None]] = {
    "replicated": {"batch": "data", "embed": None, "vocab": None, "heads": None, "mlp": None, "norm": None},
    "fsdp": {"batch": "data", "embed": "data", "vocab": None, "heads": None, "mlp": None, "norm": None},
}
"""Logical axis → mesh axis. ``embed`` is the axis of width hidden_size, which every matrix of the model has."""


@dataclass(frozen=True)
class Placement:
    """A mesh and the layout on it. Hashable, so that a model can carry it through jit."""

    mesh: Mesh
    layout: str

    @property
    def devices(self) -> int:
        return int(self.mesh.size)

    def sharding(self, *axes: str | None) -> NamedSharding:
        """The sharding of an array with these logical axes; an axis without a name is whole on each device."""
        table = LAYOUTS[self.layout]
        return NamedSharding(self.mesh, PartitionSpec(*(table[axis] if axis else None for axis in axes)))

    def by_batch(self, array: jax.Array) -> jax.Array:
        """``array`` constrained to be split along its first axis, the batch, and nothing else."""
        return jax.lax.with_sharding_constraint(array, self.sharding("batch"))

    def gathered(self, weight: jax.Array) -> jax.Array:
        """``weight`` constrained to be whole on each device where it is used."""
        return jax.lax.with_sharding_constraint(weight, self.sharding())

    def put_batch(self, array: np.ndarray[Any, Any]) -> jax.Array:
        return self.put(array, self.sharding("batch"))

    def put(self, array: np.ndarray[Any, Any], sharding: NamedSharding) -> jax.Array:
        """``array``, which all processes have alike, on the devices; each process puts the parts of its own."""
        if self.mesh.is_multi_process:
            return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
        return jax.device_put(array, sharding)


def place(spec: RunSpec, devices: list[Any]) -> Placement:
    """The placement of ``spec`` over ``devices``. Raises LayoutError for what they cannot divide."""
    count, training = len(devices), spec.training
    micro_batch = training.batch_size // training.gradient_accumulation
    if micro_batch % count:
        raise LayoutError(
            f"training.batch_size {training.batch_size} in {training.gradient_accumulation} micro-batches leaves "
            f"{micro_batch} rows, which {count} devices cannot share evenly; make it a multiple of "
            f"{count * training.gradient_accumulation}"
        )
    if spec.plan.layout == "fsdp" and spec.model.hidden_size % count:
        raise LayoutError(
            f"plan.layout fsdp shards model.hidden_size {spec.model.hidden_size} over {count} devices, which do not "
            "divide it; use plan.layout replicated"
        )
    return Placement(Mesh(np.array(devices), ("data",)), spec.plan.layout)
