"""A preflight job without a compiler: it writes what the real one writes, so that everything around it can be tested.

Run as ``python -m tests.preflight_job [SECONDS] FOLDER``, ``SECONDS`` for each plan that it "compiles". What comes out
depends on the ask: a spec named ``slow`` never ends, ``broken`` ends as a machine without libtpu does, ``crash`` ends
without a word; a batch too large for the memory does not fit. Its figures are formulas and no compiler's.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from evidence import canonical, events, job_folder, preflight, preflight_folder, rundir, typed
from evidence.hardware import GIB, Topology
from evidence.job_folder import Progress
from evidence.plan import choose
from evidence.preflight import DoesNotFit, Estimate, Fits, Memory, Received, Refused, Report
from evidence.spec import PlanSpec, RunSpec, parameter_count, parse

NO_LIBTPU = "a preflight needs the TPU's compiler, and libtpu is not installed; install it with: pip install libtpu"
VERSIONS = {"python": sys.version.split()[0], "numpy": "", "stand-in": "1"}
USABLE = 0.984375
"""Of a device's memory; the rest is the runtime's."""


class Job:
    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self.request = preflight_folder.read_request(folder)
        self.spec = parse(self.request.spec)
        self.topology = preflight_folder.topology(self.request.topology)
        self.done = 0

    def say(self, doing: str, total: int) -> None:
        line = canonical.encode(typed.write(Progress(events.now(), self.done, total, doing)))
        with (self.folder / job_folder.PROGRESS).open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        print(f"{self.done}/{total} {doing}", flush=True)

    def run(self) -> int:
        name = self.spec.name
        self.say("waiting for the TPU's compiler", 1)
        if name == "slow":
            self.say("compiling fsdp, unrolled", 1)
            while True:
                time.sleep(60)
        if name == "crash":
            print("terminate called after throwing an instance of 'std::bad_alloc'", flush=True)
            os.kill(os.getpid(), signal.SIGABRT)
        if name == "broken":
            print(f"Error: {NO_LIBTPU}", flush=True)
            rundir.write_document(self.folder / job_folder.ERROR, {"message": NO_LIBTPU, "field": "topology"})
            return 2
        rundir.write_document(self.folder / preflight.REPORT, typed.write(self.report()))
        return 0

    def plans(self) -> list[PlanSpec]:
        own = choose(self.spec, self.topology.devices, self.topology.tpu.memory_bytes)
        if not self.request.search:
            return [own]
        others = [replace(own, layout="replicated"), replace(own, layout="fsdp"),
                  replace(own, layout="fsdp", layers="scanned"), replace(own, remat="layer")]  # fmt: skip
        return [own, *(item for item in others if item != own)]

    def report(self) -> Report:
        began = time.monotonic()
        attempts = []
        plans = self.plans()
        for plan in plans:
            self.say(f"compiling {plan.layout}, remat {plan.remat}, {plan.layers}", len(plans))
            time.sleep(self.seconds)
            attempts.append(attempt(replace(self.spec, plan=plan), self.topology))
            self.done += 1
        if self.request.search:
            attempts.append(refused(self.spec))
        fitting = [index for index, item in enumerate(attempts) if isinstance(item, Fits)]
        chosen = min(fitting, key=lambda index: _step_seconds(attempts[index]), default=0)
        best = attempts[chosen]
        advice = [] if fitting else self.advice()
        return Report(
            schema=preflight.SCHEMA,
            key=preflight.key(
                self.spec, self.topology, _versions(), search=self.request.search, largest=self.request.largest
            ),
            config=self.request.config,
            created_at=events.now(),
            seconds=time.monotonic() - began,
            fits=bool(fitting),
            verdict=verdict(best, self.topology),
            program=preflight.program_settings(self.spec),
            target=target(self.topology),
            versions=_versions(),
            plans=attempts,
            chosen=chosen,
            advice=advice,
            largest=self.largest(best) if self.request.largest else preflight.NotAsked("not_asked"),
            compute_method=preflight.COMPUTE_METHOD,
            communication_method=preflight.COMMUNICATION_METHOD,
            interval_method=preflight.INTERVAL_METHOD,
        )

    def advice(self) -> list[str]:
        batch = self.spec.training.batch_size
        while batch > 1:
            batch //= 2
            smaller = attempt(_with_batch(self.spec, batch), self.topology)
            if isinstance(smaller, Fits):
                return [f"training.batch_size {batch} fits: {smaller.memory.peak / GIB:.2f} GiB."]
        return []

    def largest(self, best: object) -> preflight.LargestBatch:
        if not isinstance(best, Fits):
            return preflight.LargestBatch("found", 0, self.spec.training.batch_size, 0)
        batch, fitting = best.batch_size, best
        while isinstance(larger := attempt(_with_batch(self.spec, batch * 2), self.topology), Fits):
            batch, fitting = batch * 2, larger
        return preflight.LargestBatch("found", batch, batch * 2, fitting.memory.peak)


def attempt(spec: RunSpec, topology: Topology) -> Fits | DoesNotFit:
    """What a compiler could say of the step of ``spec``: memory and time grow with the model and its tokens."""
    parameters, plan, training = parameter_count(spec.model), spec.plan, spec.training
    shards = 1 if plan.layout == "replicated" else topology.devices
    micro = training.batch_size // training.gradient_accumulation
    tokens = micro * training.sequence_length / topology.devices
    saved = 2 if plan.remat == "layer" else 18
    weights = 4 * parameters // shards
    temporaries = int(
        2 * tokens * spec.model.hidden_size * (spec.model.num_hidden_layers * saved)
        + 4 * tokens * spec.model.vocab_size
        + 2 * parameters / spec.model.num_hidden_layers
    )
    limit = int(topology.tpu.memory_bytes * USABLE)
    facts = asdict(plan)
    peak = 3 * weights + 4096 + temporaries
    if peak > limit:
        return DoesNotFit(
            kind="does_not_fit",
            plan=facts,
            batch_size=training.batch_size,
            gradient_accumulation=training.gradient_accumulation,
            needed_bytes=peak,
            limit_bytes=limit,
            message=out_of_memory(peak, limit, weights),
            compile_seconds=9.1,
        )
    flops = 6.0 * parameters * training.batch_size * training.sequence_length
    compute = flops / topology.devices / topology.tpu.peak_flops * (1.9 if plan.layers == "scanned" else 1.25)
    received = [
        Received("all-gather", int(4 * parameters * (shards - 1) / shards), 2 * spec.model.num_hidden_layers),
        Received("reduce-scatter", int(2 * parameters * (shards - 1) / shards), spec.model.num_hidden_layers),
        Received("all-reduce", 8192, 3),
    ]
    received = received if shards > 1 else received[-1:]
    communication = sum(item.bytes for item in received) / topology.received_bytes_per_second
    return Fits(
        kind="fits",
        plan=facts,
        batch_size=training.batch_size,
        gradient_accumulation=training.gradient_accumulation,
        memory=Memory(peak, limit, weights, 2 * weights, 4096, temporaries, 91_000_000),
        estimate=Estimate(
            "estimated",
            compute,
            communication,
            max(compute, communication),
            compute + communication,
            min(1.0, flops / topology.devices / topology.tpu.peak_flops / max(compute, communication)),
        ),
        model_flops_per_step=flops,
        compiler_flops_per_step=flops * 1.1,
        received_bytes=received,
        program_sha256=canonical.digest(facts),
        compile_seconds=74.0,
    )


def refused(spec: RunSpec) -> Refused:
    plan = asdict(PlanSpec(layout="tensor", remat="none", layers="unrolled"))
    heads = spec.model.num_key_value_heads
    message = f"plan.layout tensor splits model.num_key_value_heads {heads} over 8 devices, which do not divide it"
    return Refused("refused", plan, spec.training.batch_size, spec.training.gradient_accumulation, message)


def out_of_memory(peak: int, limit: int, weights: int) -> str:
    used, has, over = (f"{size / GIB:.2f}G" for size in (peak, limit, peak - limit))
    return (
        f"RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used {used} of "
        f"{has} hbm. Exceeded hbm capacity by {over}.\n\nTotal hbm usage >= {used}:\n    reserved          "
        f"258.00M\n    program         {(peak - 3 * weights) / GIB:.2f}G\n    arguments       {3 * weights / GIB:.2f}G "
        "\n\n  Largest program allocations in hbm:\n\n"
        + "\n".join(
            f'  {n}. Size: {size / GIB:.2f}G\n     Operator: op_type="dot_general" op_name="jit(step)/layers_{n}/mlp"\n'
            f"     Shape: f32[{size // 4}]{{0:T(1024)}}\n     Unpadded size: {size / GIB:.2f}G\n"
            "     Allocation type: HLO temp\n     ==========================\n"
            for n, size in enumerate((weights // 3, weights // 4, weights // 5), 1)
        )
    )


def target(topology: Topology) -> preflight.Target:
    tpu = topology.tpu
    return preflight.Target(
        topology.name, topology.device_kind, topology.devices, int(tpu.memory_bytes * USABLE), tpu.peak_flops, tpu.clock_hz,
        topology.received_bytes_per_second,
    )  # fmt: skip


def verdict(best: Fits | DoesNotFit | Refused, topology: Topology) -> str:
    where = f"{topology.name} ({topology.devices} × {topology.device_kind})"
    if isinstance(best, Fits):
        peak, limit = best.memory.peak / GIB, best.memory.limit / GIB
        return f"Fits on {where}: {peak:.2f} of {limit:.2f} GiB per device, {100 * peak / limit:.0f} %."
    if isinstance(best, DoesNotFit):
        needed, limit = best.needed_bytes / GIB, best.limit_bytes / GIB
        return f"Does not fit on {where}: a device needs {needed:.2f} GiB and has {limit:.2f} GiB."
    return f"Cannot run on {where}: {best.message}."


def _step_seconds(item: object) -> float:
    return (
        item.estimate.step_seconds_at_least if isinstance(item, Fits) and isinstance(item.estimate, Estimate) else 1e9
    )


def _versions() -> dict[str, str]:
    import numpy

    return {**VERSIONS, "numpy": numpy.__version__}


def _with_batch(spec: RunSpec, batch: int) -> RunSpec:
    return replace(spec, training=replace(spec.training, batch_size=batch))


if __name__ == "__main__":
    sys.exit(Job(Path(sys.argv[-1]), float(sys.argv[1]) if len(sys.argv) > 2 else 0.0).run())
