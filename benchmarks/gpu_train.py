"""Milliseconds of one training step on a GPU: Assay's, the same without its compiler options, and FlaxGemma's.

The three take turns in one process: the same decoder, the same initial weights, one batch again and again, AdamW in
float32 with weight decay and clipping; their losses must agree before anything is timed. Ours against the one without
options is what equal bits cost, and that there are equal bits shows in the digests that two calls print.

    python -m benchmarks.gpu_train [--case float32] [--rounds 12] [--steps 20] [--json FILE]
    python -m benchmarks.gpu_train --device cpu       tiny models, to try the benchmark without a GPU
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import peer
from evidence.spec import RunSpec, parse
from training import checkpoints, devices, weights
from training.errors import DeviceError
from training.step import COMPILER_OPTIONS, Trainer, compile_lowered, prepare
from training.throughput import model_flops_per_step

CHECKED = 5
"""Steps whose losses must agree."""
TOLERANCE = {"float32": 2e-3, "bfloat16": 1e-2}
"""Of a loss, relative. By default an H100 multiplies float32 as TF32."""
PACKAGES = ("jax", "jaxlib", "flax", "optax", "transformers")


@dataclass(frozen=True)
class Case:
    """``batch`` in rows, ``length`` in tokens."""

    compute_dtype: str
    batch: int
    length: int
    model: dict[str, int]

    def spec(self, device: str) -> RunSpec:
        training = {"batch_size": self.batch, "sequence_length": self.length, "compute_dtype": self.compute_dtype}
        return parse(
            {
                "name": "gpu_train",
                "model": {"num_key_value_heads": 1, "max_position_embeddings": 1024, **self.model},
                "data": {"train_path": "none"},
                "training": {"steps": 1000, **training},
                "optimizer": {"learning_rate": 1e-3, "schedule": "constant", "weight_decay": 0.01},
                "device": device,
            }
        )


SMALL = {
    "vocab_size": 4096, "hidden_size": 512, "intermediate_size": 4096, "num_hidden_layers": 4, "num_attention_heads": 8,
    "head_dim": 64,
}  # fmt: skip
LARGE = {
    "vocab_size": 32000, "hidden_size": 1024, "intermediate_size": 8192, "num_hidden_layers": 8,
    "num_attention_heads": 8, "head_dim": 128,
}  # fmt: skip
TINY = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "head_dim": 16,
}  # fmt: skip
CASES = {
    "gpu": (Case("float32", 32, 256, SMALL), Case("bfloat16", 16, 512, LARGE)),
    "cpu": (Case("float32", 4, 32, TINY), Case("bfloat16", 4, 32, TINY)),
}


@dataclass(frozen=True)
class Program:
    """A compiled step and the state it changes. ``step`` gives its loss without waiting for it."""

    step: Callable[[], jax.Array]
    parameters: Callable[[], Any]
    compile_seconds: float
    temporary_bytes: int


def ours(trainer: Trainer, initial: Any, arrays: Mapping[str, Any], options: Mapping[str, str | bool]) -> Program:
    started = time.monotonic()
    program = compile_lowered(trainer.lower(), options)
    seconds = time.monotonic() - started
    state = [trainer.start(jax.tree.map(jnp.copy, initial))]
    batch = {name: trainer.placement.put_batch(array) for name, array in arrays.items()}
    rate = jax.device_put(np.float32(trainer.spec.optimizer.learning_rate))

    def step() -> jax.Array:
        state[0], metrics = program(state[0], batch, rate)
        return metrics.loss

    return Program(step, lambda: state[0].params, seconds, _temporary_bytes(program))


def theirs(spec: RunSpec, initial: Any, arrays: Mapping[str, Any]) -> Program:
    """Jitted whole, its state donated."""
    params, tokens = peer.as_transformers(spec, initial), jax.device_put(arrays["tokens"])
    state = [params, peer.transformation(spec).init(params)]
    started = time.monotonic()
    program = jax.jit(peer.update(spec), donate_argnums=(0, 1)).lower(*state, tokens).compile()
    seconds = time.monotonic() - started

    def step() -> jax.Array:
        state[0], state[1], loss, *_ = program(state[0], state[1], tokens)
        return loss

    return Program(step, lambda: state[0], seconds, _temporary_bytes(program))


def measure(program: Program, steps: int) -> float:
    """Milliseconds of one step, after one that is not counted."""
    jax.block_until_ready(program.step())
    started = time.perf_counter()
    for _ in range(steps):
        last = program.step()
    jax.block_until_ready(last)
    return 1e3 * (time.perf_counter() - started) / steps


def compile_all(case: Case, trainer: Trainer) -> dict[str, Program]:
    shape = (case.batch, case.length)
    tokens = np.random.default_rng(0).integers(3, trainer.spec.model.vocab_size, shape).astype(np.int32)
    arrays = {"tokens": tokens, "mask": np.ones(shape, np.uint8)}
    initial = weights.random(trainer)
    return {
        "assay": ours(trainer, initial, arrays, COMPILER_OPTIONS.get(trainer.platform, {})),
        "assay_without_options": ours(trainer, initial, arrays, {}),
        "flax_gemma": theirs(trainer.spec, initial, arrays),
    }


def check(programs: Mapping[str, Program], tolerance: float) -> None:
    """Raises SystemExit where they do not do the same work."""
    for number in range(1, CHECKED + 1):
        losses = {name: float(program.step()) for name, program in programs.items()}
        if max(losses.values()) - min(losses.values()) > tolerance * min(losses.values()):
            raise SystemExit(f"not the same work: after {number} steps the losses are {losses}")


def compare(case: Case, trainer: Trainer, rounds: int, steps: int) -> dict[str, Any]:
    """What is found of each program, by its name. Raises SystemExit."""
    programs = compile_all(case, trainer)
    check(programs, TOLERANCE[case.compute_dtype])
    found: dict[str, dict[str, Any]] = {}
    for name, program in programs.items():
        found[name] = {
            "compile_seconds": program.compile_seconds,
            "temporary_bytes": program.temporary_bytes,
            "parameters_digest": checkpoints.parameters_digest(program.parameters()),
            "milliseconds_of_each_round": [],
        }
        print(
            f"{case.compute_dtype:8} {name:21} compiled in {program.compile_seconds:.1f} s, temporaries "
            f"{program.temporary_bytes / 2**20:,.0f} MiB, weights after {CHECKED} steps "
            f"{found[name]['parameters_digest'][:16]}",
            flush=True,
        )
    for number in range(rounds):
        for name in list(programs) if number % 2 else list(programs)[::-1]:
            found[name]["milliseconds_of_each_round"].append(measure(programs[name], steps))
    for name, facts in found.items():
        each, own = facts["milliseconds_of_each_round"], found["assay"]["milliseconds_of_each_round"]
        median = statistics.median(each)
        facts |= {
            "milliseconds": median,
            "tokens_per_second": 1e3 * case.batch * case.length / median,
            "of_assay": statistics.median(other / mine for other, mine in zip(each, own, strict=True)),
        }
        flops = model_flops_per_step(trainer.spec) / median * 1e3
        print(
            f"{case.compute_dtype:8} {name:21} {median:.3f} ms ({min(each):.3f} to {max(each):.3f}), "
            f"{facts['tokens_per_second']:,.0f} tokens/s, {flops / 1e12:,.1f} model TFLOP/s, "
            f"{facts['of_assay']:.3f} of assay's",
            flush=True,
        )
    return {"case": asdict(case), "options": COMPILER_OPTIONS.get(trainer.platform, {}), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--case", choices=tuple(TOLERANCE), help="only this one")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    document: dict[str, Any] = {"rounds": options.rounds, "steps": options.steps}
    for case in CASES[options.device]:
        if options.case not in (None, case.compute_dtype):
            continue
        spec = case.spec(options.device)
        try:
            device = devices.acquire(spec)[0]
        except DeviceError as error:
            raise SystemExit(str(error)) from None
        document |= {"device": device.device_kind, "runtime": devices.runtime(device)}
        document["versions"] = {name: version(name) for name in PACKAGES}
        document[case.compute_dtype] = compare(case, prepare(spec, [device]), options.rounds, options.steps)
        if options.json:  # after each case: one that is cut short leaves the others
            options.json.write_text(json.dumps(document, indent=2) + "\n")


def _temporary_bytes(program: Any) -> int:
    return int(program.memory_analysis().temp_size_in_bytes)


if __name__ == "__main__":
    main()
