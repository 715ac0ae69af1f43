"""What hardware can do: the policy table that checks and the trainer's utilization share.

TPU peaks are bf16 and per JAX device; where sources disagree the larger one stands (Google's TPU docs; jax 0.10
``_src/pallas/mosaic/tpu_info.py``). An unknown kind has no peak: it never gets another chip's.
"""

from __future__ import annotations

TPU_PEAK_FLOPS = {
    "TPU v3": 70e12,
    "TPU v5 lite": 197e12,
    "TPU v6 lite": 920e12,
}
CPU_CORE_CEILING_FLOPS = 4e12
"""No logical CPU does more (AMX at bf16, 1,024 multiply-adds a cycle, below 2 GHz sustained): a bound, not a peak."""


def peak_flops(device_kind: str) -> float | None:
    """Most FLOP/s of one device (of one logical CPU for ``cpu``); None for a kind the table does not know."""
    if device_kind == "cpu":
        return CPU_CORE_CEILING_FLOPS
    return TPU_PEAK_FLOPS.get(device_kind)
