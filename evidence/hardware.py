"""What hardware can do: the policy table that checks, the trainer's utilization share and preflight share.

TPU peaks are bf16 and per JAX device; where sources disagree the larger one stands (Google's TPU docs; jax 0.10
``_src/pallas/mosaic/tpu_info.py``). An unknown kind has no peak: it never gets another chip's.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Tpu:
    """One kind of TPU, per JAX device.

    ``memory_bytes`` is its HBM. ``clock_hz`` turns the compiler's cycles into seconds: the published peak ÷ (matrix
    units × 128 × 128 × 2 operations a cycle); 0 where that is not known. ``link_bytes_per_second`` is what one
    inter-chip link receives, by Google's TPU docs (v2, v3: Jouppi et al. 2020); ``cores`` devices share a chip's links.
    """

    peak_flops: float
    memory_bytes: int
    clock_hz: float
    link_bytes_per_second: float
    cores: int = 1


TPUS: dict[str, Tpu] = {
    "TPU v2": Tpu(23e12, 8 * GIB, 0.70e9, 62e9, cores=2),
    "TPU v3": Tpu(70e12, 16 * GIB, 0.94e9, 82e9, cores=2),
    "TPU v4": Tpu(137.5e12, 16 * GIB, 1.05e9, 50e9, cores=2),
    "TPU v5 lite": Tpu(197e12, 16 * GIB, 1.50e9, 50e9),
    "TPU v5": Tpu(459e12, 95 * GIB, 1.75e9, 100e9),
    "TPU v6 lite": Tpu(920e12, 32 * GIB, 0.0, 112e9),
}


@dataclass(frozen=True)
class Topology:
    """An accelerator as people call it. ``layout`` is libtpu's name of it; ``links`` are those of a corner chip to
    its neighbours, the fewest that any chip of this shape has."""

    name: str
    layout: str
    device_kind: str
    devices: int
    links: int

    @property
    def tpu(self) -> Tpu:
        return TPUS[self.device_kind]

    @property
    def received_bytes_per_second(self) -> float:
        """What the slowest device can receive from its neighbours."""
        return self.tpu.link_bytes_per_second * self.links / self.tpu.cores


TOPOLOGIES: dict[str, Topology] = {
    item.name: item
    for item in (
        Topology("v2-8", "v2:2x2", "TPU v2", 8, 2),
        Topology("v3-8", "v3:2x2", "TPU v3", 8, 2),
        Topology("v3-32", "v3:4x4", "TPU v3", 32, 2),
        Topology("v4-8", "v4:2x2x1", "TPU v4", 8, 2),
        Topology("v5e-4", "v5e:2x2", "TPU v5 lite", 4, 2),
        Topology("v5e-8", "v5e:2x4", "TPU v5 lite", 8, 2),
        Topology("v5e-16", "v5e:4x4", "TPU v5 lite", 16, 2),
        Topology("v5p-8", "v5p:2x2x1", "TPU v5", 4, 2),
        Topology("v6e-4", "v6e:2x2", "TPU v6 lite", 4, 2),
        Topology("v6e-8", "v6e:2x4", "TPU v6 lite", 8, 2),
    )
}

CPU_NUMERICS: dict[str, str] = {
    "14af594abcf3e4349c2f037d88f7a043cd485b472847b22f08eb1b0da8ccef18": "AMD EPYC, jaxlib 0.10.2",
}
"""Measured: the digest of training/fingerprint.py's program → on which CPU. No accelerator has one of these."""
TPU_MATMUL_BITS = 16
"""A TPU keeps fewer bits of a float32 product by default, which it computes as bfloat16; a CPU keeps more (22)."""

CPU_CORE_CEILING_FLOPS = 4e12
"""No logical CPU does more (AMX at bf16, 1,024 multiply-adds a cycle, below 2 GHz sustained): a bound, not a peak."""

GPU_CEILING_FLOPS = 5e15
"""No GPU does more in what is trained in here (dense bfloat16; NVIDIA's B300 does half): a bound, not a peak."""


def device_memory_bytes(device_kind: str, told_bytes: int) -> int:
    """What the plan's rule takes one device to hold: the table's for a TPU, so that preflight, run and verifier choose
    alike; what the runtime told for others; 0 where neither is known."""
    tpu = TPUS.get(device_kind)
    return tpu.memory_bytes if tpu else told_bytes


def tpu_peak_flops(device_kind: str) -> float | None:
    """Peak FLOP/s of one TPU device; None for anything else."""
    tpu = TPUS.get(device_kind)
    return tpu.peak_flops if tpu else None


def most_flops(device_kind: str) -> float | None:
    """FLOP/s that one device (one logical CPU for ``cpu``) cannot exceed; None for a TPU the table does not know."""
    if device_kind == "cpu":
        return CPU_CORE_CEILING_FLOPS
    return tpu_peak_flops(device_kind) if device_kind.startswith("TPU") else GPU_CEILING_FLOPS
