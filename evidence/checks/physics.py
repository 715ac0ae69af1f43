"""PHY: no machine is faster or larger than it can be."""

from __future__ import annotations

import math

from evidence import reading
from evidence.audit import Compiled
from evidence.checks import audited
from evidence.checks.check import Family, Findings, NotRun, close, differs
from evidence.hardware import most_flops, tpu_peak_flops
from evidence.reading import Bundle
from evidence.verdict import Finding

family = Family("physics")


@family.check("PHY-01", "the arithmetic is no faster than the hardware", "E2")
def flops(bundle: Bundle) -> Findings:
    manifest = bundle.manifest
    peak = most_flops(manifest.hardware.device_kind)
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


@family.check("PHY-05", "the bytes of weights, optimizer and step are those that this model needs", "E3", cost="audit")
def bytes_again(bundle: Bundle) -> Findings:
    """PHY-03's deeper half: from the arrays' shapes, and from the same program compiled here where that is cheap."""
    found, memory = audited.audit(bundle), bundle.manifest.memory
    shapes, on_cpu = audited.seen(found.shapes), bundle.manifest.hardware.platform == "cpu"
    because = audited.excuse(bundle, "shapes", "optax")
    for name in ("parameter_bytes", "optimizer_bytes"):
        where = f"$.memory.{name}"
        yield from audited.recomputed(reading.MANIFEST, where, getattr(shapes, name), getattr(memory, name), because)
    because = audited.excuse(bundle, "program", "jax", "jaxlib")
    fewest = 0.99 * shapes.argument_bytes  # Adafactor's placeholders are left out
    most = shapes.argument_bytes if on_cpu else math.inf  # a TPU pads
    if not fewest <= memory.argument_bytes <= most:
        where = "$.memory.argument_bytes"
        yield from audited.recomputed(reading.MANIFEST, where, shapes.argument_bytes, memory.argument_bytes, because)
    if not isinstance(found.compiled, Compiled) or because:
        return
    for name in ("argument_bytes", "output_bytes", "alias_bytes"):
        yield from differs(reading.MANIFEST, f"$.memory.{name}", getattr(found.compiled, name), getattr(memory, name))
    for where, here, there in (
        ("$.memory.temporary_bytes", found.compiled.temporary_bytes, memory.temporary_bytes),
        ("$.program.compiler_flops_per_step", found.compiled.flops, bundle.manifest.program.compiler_flops_per_step),
    ):
        if not here / 2 <= there <= here * 2:  # processors differ in how they are best used
            yield Finding(reading.MANIFEST, where, f"about {here:.4g}", f"{there:.4g}")


@family.check("PHY-06", "the arithmetic of a step is that of this very model", "E3", cost="audit")
def flops_again(bundle: Bundle) -> Findings:
    """PHY-04's deeper half: counted again from the config, with the definition that the manifest's number has."""
    expected = audited.seen(audited.audit(bundle).shapes).model_flops_per_step
    stated = bundle.manifest.program.model_flops_per_step
    if not close(expected, stated, 0.01):
        because = audited.excuse(bundle, "shapes")
        yield from audited.recomputed(reading.MANIFEST, "$.program.model_flops_per_step", expected, stated, because)
