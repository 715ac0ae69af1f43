"""A step's arithmetic is held to what its devices can do: a TPU's peak, a ceiling where no peak is known, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evidence import reading
from evidence.verdict import FAIL, NOT_RUN, PASS, CheckResult
from evidence.verify import verify
from tests.evidence.tamper import edit_json

H100 = "NVIDIA H100 80GB HBM3"


def judged(folder: Path, platform: str, device_kind: str, flops_per_second: float, devices: int = 1) -> CheckResult:
    """What PHY-01 says of ``folder`` when its manifest tells of these devices and this rate, of all of them together."""

    def told(manifest: dict[str, dict[str, object]]) -> None:
        manifest["hardware"].update(platform=platform, device_kind=device_kind)
        manifest["mesh"].update(devices_used=devices)
        manifest["timing"].update(median_step_seconds=0.01)
        manifest["program"].update(model_flops_per_step=0.01 * flops_per_second)

    edit_json(reading.MANIFEST, told)(folder)
    (found,) = (result for result in verify(folder).results if result.id == "PHY-01")
    return found


@pytest.mark.parametrize(
    ("flops_per_second", "devices", "result"),
    [(139.5e12, 1, PASS), (4.9e15, 1, PASS), (5.1e15, 1, FAIL), (5.1e15, 2, PASS), (10.1e15, 2, FAIL)],
    ids=["as measured", "below the ceiling", "above it", "below that of two", "above that of two"],
)
def test_a_gpu_is_held_to_a_ceiling(
    copy: Callable[[], Path], flops_per_second: float, devices: int, result: str
) -> None:
    found = judged(copy(), "gpu", H100, flops_per_second, devices)
    assert found.result == result
    assert result == PASS or f"at most {devices * 5000:.1f} TFLOP/s on {devices} × {H100}" in str(found.findings[0])


def test_a_known_tpu_is_held_to_its_peak(copy: Callable[[], Path]) -> None:
    assert judged(copy(), "tpu", "TPU v5 lite", 196e12).result == PASS
    assert judged(copy(), "tpu", "TPU v5 lite", 198e12).result == FAIL


def test_a_tpu_that_the_table_does_not_know_gets_nobody_elses_bound(copy: Callable[[], Path]) -> None:
    found = judged(copy(), "tpu", "TPU v99", 1e12)
    assert (found.result, found.reason) == (NOT_RUN, "no peak is known for a TPU v99")
