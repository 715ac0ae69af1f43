"""Tokens per CPU-second of one training step: Assay's trainer and transformers' FlaxGemma, interleaved in one process.

The same decoder, the same initial weights, the same batches, AdamW in float32 with weight decay and clipping: both
losses must agree before anything is timed. CPU time is the process's own, over all threads.

    python -m benchmarks.cpu_train [--rounds 15] [--steps 2] [--json FILE]

Besides, for each the CPU-seconds of a fresh process to its first step: imports, tracing, compilation, the step itself.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import peer
from evidence.spec import RunSpec, parse
from training import weights
from training.step import compile_step, prepare

BATCH, LENGTH = 16, 128
DOCUMENT: dict[str, Any] = {
    "name": "cpu_train",
    "model": {
        "vocab_size": 4096, "hidden_size": 256, "intermediate_size": 2048, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 64,
    },
    "data": {"train_path": "none"},
    "training": {"steps": 1000, "batch_size": BATCH, "sequence_length": LENGTH},
    "optimizer": {"learning_rate": 1e-3, "schedule": "constant", "weight_decay": 0.01},
    "device": "cpu",
}  # fmt: skip

Step = Callable[[], float]


def batch() -> dict[str, np.ndarray[Any, Any]]:
    tokens = np.random.default_rng(0).integers(3, DOCUMENT["model"]["vocab_size"], (BATCH, LENGTH)).astype(np.int32)
    return {"tokens": tokens, "mask": np.ones((BATCH, LENGTH), np.uint8)}


def ours(spec: RunSpec) -> tuple[Step, Any]:
    """One step of Assay's trainer, and its initial parameters."""
    trainer = prepare(spec, jax.devices()[:1])
    program, _ = compile_step(trainer)
    initial = weights.random(trainer)
    state = [trainer.start(jax.tree.map(jnp.copy, initial))]
    arrays, rate = batch(), np.float32(spec.optimizer.learning_rate)

    def step() -> float:
        state[0], metrics = program(state[0], arrays, rate)
        return float(metrics.loss)

    return step, initial


def theirs(spec: RunSpec, initial: Any) -> Step:
    """One step of FlaxGemma on the same weights: jitted whole, its state donated."""
    program = jax.jit(peer.update(spec), donate_argnums=(0, 1))
    params = peer.as_transformers(spec, initial)
    state, tokens = [params, peer.transformation(spec).init(params)], batch()["tokens"]

    def step() -> float:
        state[0], state[1], loss, *_ = program(state[0], state[1], tokens)
        return float(loss)

    return step


def measure(step: Step, steps: int) -> float:
    """CPU-seconds of one step."""
    started = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - started) / steps


def cpu_seconds_to_first_step(name: str) -> float:
    """Of a process that imports what it needs, compiles, takes one step and ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "benchmarks.cpu_train", "--first-step", name]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_step(name: str) -> None:
    spec = parse(DOCUMENT)
    if name == "assay":
        ours(spec)[0]()
    else:
        theirs(spec, weights.random(prepare(spec, jax.devices()[:1])))()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--first-step", choices=("assay", "flax_gemma"), help="take one step and end")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.first_step:
        first_step(options.first_step)
        return
    starts = {name: [cpu_seconds_to_first_step(name) for _ in range(3)] for name in ("assay", "flax_gemma")}
    started = {name: statistics.median(found) for name, found in starts.items()}
    spec = parse(DOCUMENT)
    own, initial = ours(spec)
    steps: dict[str, Step] = {"assay": own, "flax_gemma": theirs(spec, initial)}
    for number in range(1, 4):
        losses = {name: step() for name, step in steps.items()}
        if abs(losses["assay"] - losses["flax_gemma"]) > 1e-4 * losses["flax_gemma"]:
            raise SystemExit(f"not the same work: after {number} steps the losses are {losses}")
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.rounds):
        order = list(steps) if number % 2 else list(steps)[::-1]
        for name in order:
            seconds[name].append(measure(steps[name], options.steps))
    rates = {name: BATCH * LENGTH / statistics.median(found) for name, found in seconds.items()}
    ratios = [theirs / mine for mine, theirs in zip(seconds["assay"], seconds["flax_gemma"], strict=True)]
    for name, rate in rates.items():
        print(f"{name:12} {rate:8,.0f} tokens per CPU-second (median of {options.rounds})")
    print(f"ratio        {statistics.median(ratios):8.3f} (median of the rounds' ratios)")
    for name, found in started.items():
        print(f"{name:12} {found:8.1f} CPU-seconds to the first step of a fresh process (median of 3)")
    if options.json:
        document = {
            "cpu_seconds_to_first_step": started,
            "tokens_per_cpu_second": rates,
            "ratio": statistics.median(ratios),
            "rounds": options.rounds,
            "jax": jax.__version__,
            "cpu": _cpu(),
            "model": DOCUMENT["model"],
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
