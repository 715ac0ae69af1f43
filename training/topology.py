"""A TPU that is not here: its compiler, by ``libtpu``, for a described topology. Nothing runs on it.

A compilation takes all cores and gigabytes of memory, so a file lock lets one process compile at a time.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evidence.hardware import TOPOLOGIES, Topology
from training.errors import DeviceError

LOCK = Path(tempfile.gettempdir()) / f"assay-libtpu-{os.getuid()}.lock"
DESCRIBED = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # its own lock guards a TPU, and none is touched
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
}
FAR_TOO_LARGE = 2**38
"""Elements of a program that no device holds; the compiler refuses it with the memory there is."""


def find(name: str) -> Topology:
    """The topology of this name. Raises DeviceError."""
    if name not in TOPOLOGIES:
        raise DeviceError(f"topology must be one of {', '.join(TOPOLOGIES)}, got {name!r}")
    return TOPOLOGIES[name]


def prepare_environment() -> None:
    """Set what jax and libtpu read while they load; must run before jax is imported. Raises DeviceError."""
    if importlib.util.find_spec("libtpu") is None:
        raise DeviceError(
            "the TPU compiler is not installed; it comes for Linux on x86-64 with: pip install 'assay[preflight]' "
            "(or pip install 'libtpu==0.0.42.*')"
        )
    os.environ["JAX_PLATFORMS"] = "cpu"
    # There is no metadata server to ask, and no slice to be a worker of; without these libtpu looks and complains.
    for name, value in DESCRIBED.items():
        os.environ.setdefault(name, value)


@contextmanager
def turn(waiting: Callable[[], None]) -> Iterator[None]:
    """Hold libtpu; ``waiting`` is called once if another process has it."""
    with LOCK.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            waiting()
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def devices(topology: Topology) -> list[Any]:
    """The described devices. Raises DeviceError."""
    from jax.experimental import topologies

    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=topology.layout)
    except Exception as error:  # noqa: BLE001 - the plugin raises what its version has; its words say why
        raise DeviceError(f"libtpu does not describe {topology.name}: {' '.join(str(error).split())[:400]}") from None
    return list(described.devices)


def memory_limit_bytes(device: Any) -> int:
    """What a program may use of the device's memory, as its compiler says when it refuses one that is far too large.
    Raises DeviceError."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import SingleDeviceSharding

    place = SingleDeviceSharding(device)
    program = jax.jit(lambda x: x + 1, in_shardings=place, out_shardings=place)
    lowered = program.lower(jax.ShapeDtypeStruct((FAR_TOO_LARGE,), jnp.float32))
    try:
        lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if found := re.search(r"available HBM \(([\d.]+)G\)", str(error)):
            return int(float(found[1]) * 2**30)
        raise DeviceError(f"the compiler did not tell the memory there is: {str(error)[:300]}") from None
    raise DeviceError("the compiler accepted a program of a terabyte; its memory limit is unknown")
