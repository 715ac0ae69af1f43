"""HW: the hardware is named once, and could be what it is said to be."""

from __future__ import annotations

from evidence import events, reading
from evidence.audit import Numerics
from evidence.checks import audited
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.hardware import CPU_NUMERICS, TPU_MATMUL_BITS
from evidence.reading import Bundle
from evidence.verdict import Finding

family = Family("hardware")


@family.check("HW-01", "platform, kind and devices go together", "E2")
def names_agree(bundle: Bundle) -> Findings:
    hardware = bundle.manifest.hardware
    for number, device in enumerate(hardware.devices):
        yield from differs(
            reading.MANIFEST, f"$.hardware.devices[{number}].device_kind", hardware.device_kind, device.device_kind
        )
    kind = hardware.device_kind
    platform = "tpu" if kind.startswith("TPU") else "cpu" if kind == "cpu" else "gpu"
    yield from differs(reading.MANIFEST, "$.hardware.platform", platform, hardware.platform)
    yield from differs(
        reading.MANIFEST, "$.program.lowered_for", hardware.platform, bundle.manifest.program.lowered_for
    )


@family.check("HW-02", "the devices that are claimed were used", "E2")
def devices_used(bundle: Bundle) -> Findings:
    manifest = bundle.manifest
    product = 1
    for size in manifest.mesh.axes.values():
        product *= size
    yield from differs(reading.MANIFEST, "$.mesh.devices_used", product, manifest.mesh.devices_used)
    count = len(manifest.hardware.devices)
    if manifest.mesh.devices_used > count:
        yield Finding(reading.MANIFEST, "$.mesh.devices_used", f"at most {count}", str(manifest.mesh.devices_used))
    micro = manifest.training.global_batch_size // manifest.training.gradient_accumulation
    if micro % manifest.mesh.devices_used:
        yield Finding(
            reading.MANIFEST,
            "$.training.global_batch_size",
            f"a multiple of {manifest.mesh.devices_used} devices",
            str(micro),
        )


@family.check("HW-03", "the devices are different ones", "E2")
def topology(bundle: Bundle) -> Findings:
    devices = bundle.manifest.hardware.devices
    ids = [device.id for device in devices]
    if len(set(ids)) != len(ids) or not ids:
        yield Finding(reading.MANIFEST, "$.hardware.devices", "at least one device, each id once", str(ids))
    places = [(tuple(device.coords), device.core_on_chip) for device in devices if device.coords]
    if len(set(places)) != len(places):
        yield Finding(reading.MANIFEST, "$.hardware.devices", "each place once", str(places))


@family.check("HW-04", "the runtime is one for this platform", "E2")
def runtime(bundle: Bundle) -> Findings:
    platform, packages = bundle.manifest.hardware.platform, bundle.text("environment/packages.txt")
    names = {line.partition("==")[0] for line in packages.splitlines()}
    if platform == "tpu" and "libtpu" not in names:
        yield Finding("environment/packages.txt", "", "libtpu, since a TPU is claimed", "no libtpu")
    if platform == "tpu":  # its compiler alone may be installed anywhere; its runtime tells each chip's place
        for number, device in enumerate(bundle.manifest.hardware.devices):
            if not device.coords:
                yield Finding(reading.MANIFEST, f"$.hardware.devices[{number}].coords", "a TPU's place", "none")
    if platform == "gpu" and not any(name.startswith(("jax-cuda", "jax-rocm")) for name in names):
        yield Finding("environment/packages.txt", "", "a GPU plugin of jax, since a GPU is claimed", "none")


@family.check("HW-06", "the numbers are not those of another kind of hardware", "E3", cost="audit")
def numerics(bundle: Bundle) -> Findings:
    """What is called a TPU or GPU does not round as a CPU does, be it one that was measured or the verifier's own."""
    hardware, found = bundle.manifest.hardware, audited.audit(bundle).numerics
    if not hardware.numerics_sha256:
        raise NotRun("the trainer did not ask its hardware for numbers that tell it apart")
    where = "$.hardware.numerics_sha256"
    known = dict(CPU_NUMERICS)
    if isinstance(found, Numerics):
        known.setdefault(found.cpu_sha256, "the verifier's own CPU")
    if hardware.platform != "cpu" and hardware.numerics_sha256 in known:
        cpu = known[hardware.numerics_sha256]
        yield Finding(reading.MANIFEST, where, f"the numbers of a {hardware.device_kind}", f"those of a CPU ({cpu})")
    precise = "JAX_DEFAULT_MATMUL_PRECISION" in bundle.document("environment/env.json")["variables"]
    by_default = hardware.platform == "tpu" and not precise
    if by_default and hardware.matmul_bits >= TPU_MATMUL_BITS:
        most = f"fewer than {TPU_MATMUL_BITS}, since a TPU multiplies float32 as bfloat16"
        yield Finding(reading.MANIFEST, "$.hardware.matmul_bits", most, str(hardware.matmul_bits))
    if hardware.platform == "cpu" and hardware.matmul_bits < TPU_MATMUL_BITS:
        least = f"at least {TPU_MATMUL_BITS} on a CPU"
        yield Finding(reading.MANIFEST, "$.hardware.matmul_bits", least, str(hardware.matmul_bits))


@family.check("HW-07", "the numbers are those that were measured on such hardware", "E3", warns=True, cost="audit")
def numerics_measured(bundle: Bundle) -> Findings:
    hardware, found = bundle.manifest.hardware, audited.audit(bundle).numerics
    if not hardware.numerics_sha256 or hardware.platform != "cpu":
        raise NotRun(f"nothing was measured on a {hardware.device_kind} that the numbers could be compared with")
    here = audited.seen(found).cpu_sha256
    if hardware.numerics_sha256 not in {here, *CPU_NUMERICS}:
        expected = "those of a CPU that was measured"
        yield Finding(reading.MANIFEST, "$.hardware.numerics_sha256", expected, hardware.numerics_sha256)


@family.check("MET-10", "the devices in the log are those of the manifest", "E2")
def device_lines(bundle: Bundle) -> Findings:
    told: events.Devices = bundle.event(events.Devices)
    hardware, mesh = bundle.manifest.hardware, bundle.manifest.mesh
    for name, said, stated in (
        ("platform", told.platform, hardware.platform),
        ("device_kind", told.device_kind, hardware.device_kind),
        ("runtime", told.runtime, hardware.runtime),
        ("process_count", told.process_count, hardware.process_count),
        ("devices", [item.get("id") for item in told.devices], [item.id for item in hardware.devices]),
        ("kinds", [item.get("device_kind") for item in told.devices], [item.device_kind for item in hardware.devices]),
        (
            "memory",
            [item.get("memory_bytes", 0) for item in told.devices],
            [item.memory_bytes for item in hardware.devices],
        ),
        ("mesh", told.mesh, mesh.axes),
        ("devices_used", told.devices_used, mesh.devices_used),
        ("layout", told.layout, mesh.layout),
        ("numerics_sha256", told.numerics_sha256, hardware.numerics_sha256),
        ("matmul_bits", told.matmul_bits, hardware.matmul_bits),
    ):
        yield from differs(reading.MANIFEST, f"$.hardware ({name})", said, stated)
    model, program, memory = bundle.event(events.Model), bundle.event(events.Program), bundle.manifest.memory
    for name, source in (
        ("parameter_bytes", model),
        ("optimizer_bytes", model),
        ("argument_bytes", program),
        ("output_bytes", program),
        ("temporary_bytes", program),
        ("alias_bytes", program),
        ("peak_bytes", program),
    ):
        yield from differs(reading.MANIFEST, f"$.memory.{name}", getattr(source, name), getattr(memory, name))
    stated_program = bundle.manifest.program
    for name in ("lowered_for", "model_flops_per_step", "compiler_flops_per_step"):
        yield from differs(reading.MANIFEST, f"$.program.{name}", getattr(program, name), getattr(stated_program, name))
