"""Which hardware a run gets: exactly the kind that was asked for, and never a GPU for a model too large for one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from evidence import events
from evidence.hardware import device_memory_bytes
from evidence.spec import GPU_PARAMETER_LIMIT, RunSpec, gpu_refusal, parameter_count
from training.errors import DeviceError

if TYPE_CHECKING:
    from training.mesh import Placement


def choose_platform(spec: RunSpec) -> None:
    """Set what jax reads from the environment while it is imported. Must run before that."""
    if spec.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    if parameter_count(spec.model) >= GPU_PARAMETER_LIMIT:
        # A GPU that is about to be refused must not have its memory taken first.
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"


def acquire(spec: RunSpec) -> list[Any]:
    """The jax devices to train on. Raises DeviceError."""
    import jax

    try:
        found = jax.devices()
    except RuntimeError as error:
        raise DeviceError(f"device {spec.device} cannot be had: {' '.join(str(error).split())}") from None
    refusal = refuse(spec.device, found[0].platform, parameter_count(spec.model))
    if refusal:
        raise DeviceError(refusal)
    return list(found)


def refuse(asked: str, platform: str, parameters: int) -> str:
    """Why ``parameters`` may not train on ``platform`` (cpu, gpu, tpu) when ``asked`` was asked for; "" if they may."""
    if asked not in ("auto", platform):
        return (
            f"device {asked} was asked for, but this machine offers {platform}; "
            f"use device {platform} or auto, or run where there is a {asked}"
        )
    if platform == "gpu" and parameters >= GPU_PARAMETER_LIMIT:
        return gpu_refusal(parameters)
    return ""


def memory_bytes(devices: list[Any]) -> int:
    """What the runtime lets one of these devices hold, or for devices that are only described, their kind's memory; 0:
    unknown. Another process's devices cannot be asked, and all of them are of one kind."""
    stats: dict[str, Any] = {}
    for device in devices:
        try:
            stats = device.memory_stats() or {}
        except Exception:  # noqa: BLE001 - a described device, or another process's, says so with an error of its own
            continue
        break
    return device_memory_bytes(devices[0].device_kind, int(stats.get("bytes_limit", 0)))


def describe(placement: Placement) -> events.Devices:
    """The devices as the runtime tells them."""
    from training.fingerprint import numerics

    used = list(placement.mesh.devices.flat)
    ours = [device for device in used if device.process_index == device.client.process_index()]
    digest, bits = numerics(ours[0])
    return events.Devices(
        time=events.now(),
        platform=used[0].platform,
        device_kind=used[0].device_kind,
        devices=[_facts(device) for device in used],
        devices_used=len(used),
        process_count=len({device.process_index for device in used}),
        mesh={name: int(size) for name, size in placement.mesh.shape.items()},
        layout=placement.layout,
        runtime=runtime(used[0]),
        numerics_sha256=digest,
        matmul_bits=bits,
    )


def runtime(device: Any) -> str:
    """What drives ``device``, with its version, in one line."""
    return ", ".join(str(device.client.platform_version).splitlines())


def memory_in_use() -> tuple[int, int]:
    """Bytes in use, and at their peak, on the fullest of this process's devices; zeros where the runtime does not tell.

    Asks the runtime on the host; nothing waits for a device.
    """
    import jax

    told = [device.memory_stats() or {} for device in jax.local_devices()]
    return (
        max(int(stats.get("bytes_in_use", 0)) for stats in told),
        max(int(stats.get("peak_bytes_in_use", 0)) for stats in told),
    )


def _facts(device: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "id": device.id,
        "process_index": device.process_index,
        "device_kind": device.device_kind,
    }
    if getattr(device, "coords", None) is not None:
        facts["coords"] = [int(value) for value in device.coords]
    if getattr(device, "core_on_chip", None) is not None:
        facts["core_on_chip"] = int(device.core_on_chip)
    ours = device.process_index == device.client.process_index()
    if ours and (limit := (device.memory_stats() or {}).get("bytes_limit")):
        facts["memory_bytes"] = int(limit)
    return facts
