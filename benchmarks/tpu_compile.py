"""The TPU compiler on Gemma 2B's step: Assay's plans beside FlaxGemma with each matrix split on its largest axis.

One compiler, one reader of cycles and collectives (training/hlo.py), one batch, AdamW in float32 over bfloat16
activations. Nothing runs on a TPU: memory is the compiler's own, times are estimates (evidence/preflight.py).

    python -m benchmarks.tpu_compile [--only WORD] [--json FILE]      about two minutes a row on two cores
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence import config_file
from evidence.hardware import GIB
from evidence.preflight import NoEstimate
from evidence.spec import RunSpec, resolve
from training import topology as topologies
from training.preflight import estimate, versions

CONFIG = Path(__file__).parent.parent / "training" / "configs" / "submission_tpu.yaml"


@dataclass(frozen=True)
class Row:
    name: str
    topology: str
    batch: int
    length: int
    plan: dict[str, Any] | None  # None: FlaxGemma
    options: bool = True
    """Whether it is compiled with the options that Assay's own step is compiled with."""

    def spec(self) -> RunSpec:
        settings = {"training.batch_size": self.batch, "training.sequence_length": self.length}
        plan = {f"plan.{name}": value for name, value in (self.plan or {}).items()}
        return resolve(config_file.load(CONFIG)[0], {**settings, **plan})[0]


ROWS = (
    Row("FlaxGemma, largest axis", "v5e-8", 8, 512, None, options=False),
    Row("FlaxGemma, our options", "v5e-8", 8, 512, None),
    Row("assay, fastest", "v5e-8", 8, 512, {"layout": "tensor", "remat": "none"}),
    Row("assay, small", "v5e-8", 8, 512, {"layout": "tensor", "remat": "mlp", "loss_chunk_tokens": 128}),
    Row("assay, small", "v5e-8", 64, 512, {"layout": "fsdp", "remat": "mlp"}),
    Row("assay, fastest", "v5e-8", 64, 512, {"layout": "fsdp", "remat": "none"}),
    Row("assay", "v5e-8", 8, 2048, {"layout": "tensor", "remat": "attention"}),
    Row("FlaxGemma, largest axis", "v3-8", 8, 512, None, options=False),
    Row("assay", "v3-8", 8, 512, {"layout": "tensor", "remat": "attention"}),
)


def compiled(row: Row, devices: list[Any]) -> Any:
    """The compiled step of a row. Raises JaxRuntimeError when it does not fit."""
    from training.step import COMPILER_OPTIONS, compile_step, prepare

    if row.plan is None:
        return _peer(row.spec(), devices).compile(compiler_options=COMPILER_OPTIONS["tpu"] if row.options else None)
    return compile_step(prepare(row.spec(), devices))[0]


def _peer(spec: RunSpec, devices: list[Any]) -> Any:
    """FlaxGemma's step, lowered: rows split over the devices, each array on its largest axis that they divide."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    from benchmarks import peer

    mesh = Mesh(np.array(devices), ("devices",))

    def split(leaf: Any) -> NamedSharding:
        axes: list[str | None] = [None] * leaf.ndim
        if leaf.ndim and (axis := int(np.argmax(leaf.shape))) >= 0 and leaf.shape[axis] % len(devices) == 0:
            axes[axis] = "devices"
        return NamedSharding(mesh, PartitionSpec(*axes))

    model = peer.flax_gemma(spec)
    params = jax.eval_shape(lambda: model.init_weights(jax.random.PRNGKey(0), (1, 8)))
    moments = jax.eval_shape(peer.transformation(spec).init, params)
    places = jax.tree.map(split, params), jax.tree.map(split, moments)
    rows, whole = NamedSharding(mesh, PartitionSpec("devices")), NamedSharding(mesh, PartitionSpec())
    tokens = jax.ShapeDtypeStruct((spec.training.batch_size, spec.training.sequence_length), jnp.int32)
    step = jax.jit(
        peer.update(spec),
        in_shardings=(*places, rows),
        out_shardings=(*places, whole, whole, whole),
        donate_argnums=(0, 1),
    )
    return step.lower(params, moments, tokens)


def measure(row: Row) -> dict[str, Any]:
    """One row's figures: GiB on a device, milliseconds by the method of evidence/preflight.py."""
    import jax

    from training.throughput import model_flops_per_step

    topology = topologies.find(row.topology)
    started = time.monotonic()
    facts: dict[str, Any] = {"name": row.name, "topology": row.topology, "batch": row.batch, "length": row.length,
                             "plan": row.plan or "none"}  # fmt: skip
    try:
        program = compiled(row, topologies.devices(topology))
    except jax.errors.JaxRuntimeError as error:
        return {**facts, "error": str(error)[:300]}
    told, received = estimate(program, topology, model_flops_per_step(row.spec()))
    if isinstance(told, NoEstimate):
        return {**facts, "error": told.because}
    return {
        **facts,
        "peak_gib": round(program.memory_analysis().peak_memory_in_bytes / GIB, 3),
        "compute_ms": round(told.compute_seconds * 1e3, 1),
        "communication_ms": round(told.communication_seconds * 1e3, 1),
        "utilization_at_most": round(told.model_flops_utilization_at_most, 3),
        "received_gb": {item.collective: round(item.bytes / 1e9, 3) for item in received},
        "compile_seconds": round(time.monotonic() - started),
    }


def shown(found: dict[str, Any]) -> str:
    work = f"{found['topology']:6} {found['batch']:3} × {found['length']:<5} {found['name']:26}"
    if "error" in found:
        return f"{work} {found['error'][:120]}"
    return (
        f"{work} {found['peak_gib']:6.2f} GiB {found['compute_ms']:7.1f} ms compute "
        f"{found['communication_ms']:6.1f} ms communication, at most {found['utilization_at_most']:.0%} of the peak"
    )


def results(only: str) -> Iterator[dict[str, Any]]:
    for row in ROWS:
        if only in f"{row.name} {row.topology} {row.batch}x{row.length}":
            found = measure(row)
            print(shown(found), flush=True)
            yield found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="rows whose name, topology or batch×length (8x512) hold this")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    topologies.prepare_environment()
    with topologies.turn(lambda: print("another process has the TPU compiler; waiting")):
        found = list(results(options.only))
    if options.json:
        document = {"versions": versions(), "rows": found}
        options.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
