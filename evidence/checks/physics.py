"""PHY: no machine is faster or larger than it can be."""

from __future__ import annotations

from evidence import reading
from evidence.checks.check import Family, Findings, NotRun, close
from evidence.hardware import peak_flops, tpu_peak_flops
from evidence.reading import Bundle
from evidence.verdict import Finding

family = Family("physics")


@family.check("PHY-01", "the arithmetic is no faster than the hardware", "E2")
def flops(bundle: Bundle) -> Findings:
    manifest = bundle.manifest
    peak = peak_flops(manifest.hardware.device_kind)
    if peak is None:
        raise NotRun(f"no peak is known for a {manifest.hardware.device_kind}")
    units = manifest.location.logical_cpus if manifest.hardware.platform == "cpu" else manifest.mesh.devices_used
    reached = manifest.program.model_flops_per_step / manifest.timing.median_step_seconds
    if reached > peak * units:
        yield Finding(
            reading.MANIFEST,
            "$.timing.median_step_seconds",
            f"at most {peak * units / 1e12:.1f} TFLOP/s on {units} × {manifest.hardware.device_kind}",
            f"{reached / 1e12:.1f} TFLOP/s",
        )


@family.check("PHY-02", "no row claims a share of a peak that is not its hardware's", "E2")
def utilization(bundle: Bundle) -> Findings:
    manifest = bundle.manifest
    peak = (tpu_peak_flops(manifest.hardware.device_kind) or 0) * manifest.mesh.devices_used
    for row in bundle.rows:
        share = manifest.program.model_flops_per_step / row.step_seconds / peak if peak else 0.0
        if row.model_flops_utilization and not close(share, row.model_flops_utilization, 1e-6):
            expected = f"{share:.4f}" if peak else f"none: no peak is known for a {manifest.hardware.device_kind}"
            found = f"{row.model_flops_utilization:.4f}"
            yield Finding(reading.METRICS, f"step {row.step}: model_flops_utilization", expected, found)
            return


@family.check("PHY-03", "what is resident fits the memory", "E2")
def fits(bundle: Bundle) -> Findings:
    manifest = bundle.manifest
    memory, hardware = manifest.memory, manifest.hardware
    if hardware.platform == "cpu":
        limit, devices = manifest.location.memory_bytes, manifest.mesh.devices_used
    else:
        limit, devices = min(device.memory_bytes for device in hardware.devices), 1
        if not limit:
            raise NotRun("the runtime did not tell how much memory a device has")
    needed = (memory.argument_bytes + memory.output_bytes - memory.alias_bytes + memory.temporary_bytes) * devices
    if needed > limit:
        yield Finding(reading.MANIFEST, "$.memory", f"at most {limit:,} bytes", f"{needed:,}")


@family.check("PHY-04", "the arithmetic of a step is what the model needs", "E2")
def flops_per_step(bundle: Bundle) -> Findings:
    manifest = bundle.manifest
    tokens = manifest.training.global_batch_size * manifest.training.sequence_length
    floor = 6 * tokens * manifest.model.trainable_parameters * 0.1
    ceiling = 6 * tokens * manifest.model.parameters * 20
    if not floor <= manifest.program.model_flops_per_step <= ceiling:
        yield Finding(
            reading.MANIFEST,
            "$.program.model_flops_per_step",
            f"from {floor:.3g} to {ceiling:.3g}",
            f"{manifest.program.model_flops_per_step:.3g}",
        )
