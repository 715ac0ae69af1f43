"""``python -m training.preflight FOLDER``: compile the step that ``train`` would run, for a TPU that is not here.

The folder's request says what; evidence/preflight.py says what is left in it. Exit 0: there is a report, whether the
step fits or not. Exit 2: there is none, and error.json says why.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from evidence import canonical, events, job_folder, preflight, rundir, typed
from evidence.hardware import Topology
from evidence.plan import choose
from evidence.preflight import DoesNotFit, Fits, Refused, Report, Request
from evidence.preflight_comparison import size
from evidence.spec import FIELDS, PlanSpec, RunSpec, SpecError, parse
from training import topology as topologies
from training.errors import LayoutError, Refusal

REMATS = ("none", "attention", "mlp", "layer")
"""From the fastest to the smallest."""
MOST_COMPILATIONS_FOR_LARGEST = 8
LARGEST_BATCH = int(FIELDS["training.batch_size"].metadata["maximum"])

Outcome = Fits | DoesNotFit | Refused


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m training.preflight FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    try:
        request = typed.read(Request, canonical.read(folder / job_folder.REQUEST))
        spec, topology = parse(request.spec), topologies.find(request.topology)
        topologies.prepare_environment()
    except (OSError, canonical.JsonError, typed.WrongDocument, SpecError, Refusal) as error:
        return _fail(folder, str(error))
    diary = Diary(folder)
    try:
        with topologies.turn(lambda: diary.say("another preflight has the TPU compiler; waiting for it")):
            report = examine(request, spec, topology, diary)
    except Refusal as error:
        return _fail(folder, str(error))
    rundir.write_document(folder / preflight.REPORT, typed.write(report))
    diary.say(report.verdict)
    return 0


class Diary:
    """Progress, a line each, to the folder and to standard output."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / job_folder.PROGRESS
        self.done = self.total = 0

    def say(self, doing: str) -> None:
        line = job_folder.Progress(time=events.now(), done=self.done, total=max(self.total, self.done), doing=doing)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(canonical.encode(typed.write(line)) + "\n")
        print(doing, flush=True)


def versions() -> dict[str, str]:
    """What a compiled step depends on."""
    names = ("jax", "jaxlib", "flax", "optax", "libtpu")
    return {name: metadata.version(name) for name in names}


def examine(request: Request, spec: RunSpec, topology: Topology, diary: Diary) -> Report:
    """Compile what is asked for and tell. Raises DeviceError."""
    started, created = time.monotonic(), events.now()
    diary.say(f"describing {topology.name} to the TPU compiler")
    bench = Bench(spec, topology, topologies.devices(topology), diary)
    tried = list(_search(bench) if request.search else [bench.compile(bench.settled)])
    chosen = min(range(len(tried)), key=lambda index: _rank(tried[index]))
    best = tried[chosen]
    advice = _advice(bench, tried) if isinstance(best, DoesNotFit) else []
    largest: preflight.LargestBatch | preflight.NotAsked = preflight.NotAsked(kind="not_asked")
    if request.largest and not isinstance(best, Refused):
        largest = largest_batch(bench, best)
    found = versions()
    tpu = topology.tpu
    return Report(
        schema=preflight.SCHEMA,
        key=preflight.key(spec, topology, found, search=request.search, largest=request.largest),
        config=request.config,
        created_at=created,
        seconds=time.monotonic() - started,
        fits=isinstance(best, Fits),
        verdict=_verdict(best, spec, topology),
        program=preflight.program_settings(spec),
        target=preflight.Target(
            name=topology.name,
            device_kind=topology.device_kind,
            devices=topology.devices,
            memory_bytes=bench.limit,
            peak_flops=tpu.peak_flops,
            clock_hz=tpu.clock_hz,
            received_bytes_per_second=topology.received_bytes_per_second,
        ),
        versions=found,
        plans=tried,
        chosen=chosen,
        advice=advice,
        largest=largest,
        compute_method=preflight.COMPUTE_METHOD,
        communication_method=preflight.COMMUNICATION_METHOD,
        interval_method=preflight.INTERVAL_METHOD,
    )


class Bench:
    """Compiles one spec for one topology, by different plans and batches."""

    def __init__(self, spec: RunSpec, topology: Topology, devices: list[Any], diary: Diary) -> None:
        self.spec, self.topology, self.devices, self.diary = spec, topology, devices, diary
        self.limit = topologies.memory_limit_bytes(devices[0])
        self.settled = choose(spec, topology.devices, topology.tpu.memory_bytes)

    def compile(self, plan: PlanSpec, batch_size: int = 0, accumulation: int = 0) -> Outcome:
        """What the compiler says of the step by ``plan`` (0: the spec's own batch and accumulation)."""
        training = self.spec.training
        batch_size, accumulation = batch_size or training.batch_size, accumulation or training.gradient_accumulation
        spec = replace(
            self.spec,
            plan=plan,
            training=replace(training, batch_size=batch_size, gradient_accumulation=accumulation),
        )
        facts: dict[str, Any] = {"batch_size": batch_size, "gradient_accumulation": accumulation}
        try:
            trainer = self._prepare(spec)
        except LayoutError as error:
            return Refused(kind="refused", plan=asdict(plan), message=str(error), **facts)
        facts["plan"] = asdict(trainer.plan)
        self.diary.total = max(self.diary.total, self.diary.done + 1)
        self.diary.say(f"compiling {shown(trainer.plan)}, batch {batch_size} × {training.sequence_length}")
        outcome = self._outcome(trainer, facts)
        self.diary.done += 1
        return outcome

    def _prepare(self, spec: RunSpec) -> Any:
        from training.step import prepare

        return prepare(spec, self.devices)

    def _outcome(self, trainer: Any, facts: dict[str, Any]) -> Fits | DoesNotFit:
        import jax

        from training.step import compile_step

        started = time.monotonic()
        try:
            compiled, program = compile_step(trainer)
        except jax.errors.JaxRuntimeError as error:
            message = str(error)
            if "RESOURCE_EXHAUSTED" not in message and "Ran out of memory" not in message:
                raise
            return DoesNotFit(
                kind="does_not_fit",
                needed_bytes=needed_bytes(message),
                limit_bytes=self.limit,
                message=message[:20_000],
                compile_seconds=time.monotonic() - started,
                **facts,
            )
        told, received = estimate(compiled, self.topology, program.model_flops_per_step)
        return Fits(
            kind="fits",
            memory=self._memory(trainer, compiled),
            estimate=told,
            model_flops_per_step=program.model_flops_per_step,
            compiler_flops_per_step=program.compiler_flops_per_step,
            received_bytes=received,
            program_sha256=program.program_sha256,
            compile_seconds=program.compile_seconds,
            **facts,
        )

    def _memory(self, trainer: Any, compiled: Any) -> preflight.Memory:
        told = compiled.memory_analysis()
        parameters = shard_bytes(trainer.abstract.params, trainer.shardings.params)
        moments = shard_bytes(trainer.abstract.moments, trainer.shardings.moments)
        peak = int(told.peak_memory_in_bytes)
        arguments = max(int(told.argument_size_in_bytes), parameters + moments)
        return preflight.Memory(
            peak=peak,
            limit=self.limit,
            parameters=parameters,
            optimizer=moments,
            other_arguments=arguments - parameters - moments,
            temporaries=max(0, peak - arguments),
            program_code=int(told.generated_code_size_in_bytes),
        )


def estimate(
    compiled: Any, topology: Topology, model_flops: float
) -> tuple[preflight.Estimate | preflight.NoEstimate, list[preflight.Received]]:
    """The seconds of a compiled step, by the methods of evidence/preflight.py, and what one device receives in it."""
    from training import hlo

    tpu = topology.tpu
    try:
        cost = hlo.cost(hlo.parse(compiled.as_text()), topology.devices)
    except hlo.UnreadableProgram as error:
        return preflight.NoEstimate(kind="not_estimated", because=str(error)), []
    received = [
        preflight.Received(collective=kind, bytes=int(received_bytes), count=cost.counts[kind])
        for kind, received_bytes in sorted(cost.received.items(), key=lambda item: -item[1])
    ]
    if not tpu.clock_hz:
        because = f"the clock of a {topology.device_kind} is not known, so its cycles are no seconds"
        return preflight.NoEstimate(kind="not_estimated", because=because), received
    compute = cost.cycles / tpu.clock_hz
    communication = cost.received_bytes / topology.received_bytes_per_second
    least = max(compute, communication)
    told = preflight.Estimate(
        kind="estimated",
        compute_seconds=compute,
        communication_seconds=communication,
        step_seconds_at_least=least,
        step_seconds_at_most=compute + communication,
        model_flops_utilization_at_most=model_flops / (least * tpu.peak_flops * topology.devices),
    )
    return told, received


def shown(plan: PlanSpec) -> str:
    """A plan in a few words: ``tensor, remat none, unrolled, 512 loss tokens``."""
    return f"{plan.layout}, remat {plan.remat}, {plan.layers}, {plan.loss_chunk_tokens} loss tokens"


def shard_bytes(abstract: Any, shardings: Any) -> int:
    """Bytes of a tree's arrays on one device."""
    import jax

    def shard(leaf: Any, sharding: Any) -> int:
        return math.prod(sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize

    return sum(jax.tree.leaves(jax.tree.map(shard, abstract, shardings)))


def needed_bytes(message: str) -> int:
    """What the compiler says a step needs on one device, from its refusal; 0 where it does not say."""
    for pattern in (r"Used ([\d.]+)([KMGT]) of", r"required[^()]*\(([\d.]+)([KMGT])\) exceeds"):
        if found := re.search(pattern, message):
            return int(float(found[1]) * 1024 ** ("KMGT".index(found[2]) + 1))
    return 0


def _search(bench: Bench) -> Iterator[Outcome]:
    """The sensible plans: the one that a run takes by rule, then each layout with the least recomputation that fits."""
    own, settled = bench.spec.plan, bench.settled
    layouts = [settled.layout]
    if own.layout == "auto":
        layouts += [name for name in ("tensor", "fsdp") if name != settled.layout]
    bench.diary.total = len(layouts)
    by_rule = bench.compile(settled)
    yield by_rule
    for layout in layouts:
        for remat in REMATS if own.remat == "auto" else (settled.remat,):
            plan = replace(settled, layout=layout, remat=remat)
            outcome = by_rule if plan == settled else bench.compile(plan)
            if outcome is not by_rule:
                yield outcome
            if not isinstance(outcome, DoesNotFit):
                break


def _rank(outcome: Outcome) -> tuple[int, float, float]:
    """Smaller is better: what fits first, then the shorter step, then the smaller memory. Without an estimate nothing
    is faster than anything, and the first that was tried stands: the rule's."""
    if isinstance(outcome, Refused):
        return 3, 0.0, 0.0
    if isinstance(outcome, DoesNotFit):
        return 2, 0.0, float(outcome.needed_bytes)
    if isinstance(outcome.estimate, preflight.NoEstimate):
        return 1, 0.0, 0.0
    return 0, outcome.estimate.step_seconds_at_most, float(outcome.memory.peak)


def _advice(bench: Bench, tried: list[Outcome]) -> list[str]:
    """What would make the step fit, each way compiled: another plan first, then the same batch in more parts, then a
    smaller one."""
    bench.diary.say("it does not fit; looking for what would")
    outcomes = list(tried)
    for plan, settings in _smaller(bench):
        if any(outcome.plan == asdict(plan) and _shape(outcome) == _shape_of(bench, settings) for outcome in outcomes):
            continue
        outcome = bench.compile(plan, settings.get("batch_size", 0), settings.get("gradient_accumulation", 0))
        outcomes.append(outcome)
        if isinstance(outcome, Fits):
            words = [f"training.{name}={value}" for name, value in settings.items()]
            words += [f"plan.{name}={value}" for name, value in asdict(plan).items()]
            return [f"{' '.join(words)} makes it fit: {size(outcome.memory.peak)} of {size(bench.limit)}"]
    return [
        f"none of the {len(outcomes)} ways that were tried fits {bench.topology.name}; a shorter "
        "training.sequence_length, LoRA (lora.rank) or more devices would need less"
    ]


def _smaller(bench: Bench) -> Iterator[tuple[PlanSpec, dict[str, int]]]:
    """Plans and settings that need less and less: (plan, what changes of ``training``)."""
    settled, training, devices = bench.settled, bench.spec.training, bench.topology.devices
    layouts = list(dict.fromkeys((settled.layout, "tensor", "fsdp")))
    for layout in layouts:
        for remat in REMATS if layout != settled.layout else REMATS[1:]:
            yield replace(settled, layout=layout, remat=remat), {}
    parts = training.gradient_accumulation * 2
    smallest = [replace(settled, layout=layout, remat="layer") for layout in reversed(layouts)]
    while training.batch_size % parts == 0 and training.batch_size // parts % devices == 0:
        yield from ((plan, {"gradient_accumulation": parts}) for plan in smallest)
        parts *= 2
    batch = training.batch_size // 2 // devices * devices
    while batch:
        yield from ((plan, {"batch_size": batch, "gradient_accumulation": 1}) for plan in smallest)
        batch = batch // 2 // devices * devices or (devices if batch > devices else 0)


def _shape(outcome: Outcome) -> tuple[int, int]:
    return outcome.batch_size, outcome.gradient_accumulation


def _shape_of(bench: Bench, settings: dict[str, int]) -> tuple[int, int]:
    training = bench.spec.training
    return (
        settings.get("batch_size", training.batch_size),
        settings.get("gradient_accumulation", training.gradient_accumulation),
    )


def largest_batch(bench: Bench, best: Outcome) -> preflight.LargestBatch:
    """The largest batch that fits by the chosen plan, in steps of what the devices share evenly.

    Memory is nearly a straight line in the batch, so a guess is where the line through the last two fits ends; where
    that leads nowhere, the middle between what fits and what does not.
    """
    unit = bench.topology.devices * bench.spec.training.gradient_accumulation
    plan = PlanSpec(**best.plan)  # type: ignore[arg-type]
    peaks: dict[int, int] = {best.batch_size: best.memory.peak} if isinstance(best, Fits) else {}
    too_large = 0 if peaks else best.batch_size
    for _ in range(MOST_COMPILATIONS_FOR_LARGEST):
        guess = _next_guess(peaks, too_large, bench.limit, unit)
        if not guess:
            break
        bench.diary.say(f"looking for the largest batch: {guess} next")
        outcome = bench.compile(plan, batch_size=guess)
        if isinstance(outcome, Fits):
            peaks[guess] = outcome.memory.peak
        else:
            too_large = guess
    fits = max(peaks, default=0)
    return preflight.LargestBatch(kind="found", batch_size=fits, too_large=too_large, peak=peaks.get(fits, 0))


def _next_guess(peaks: dict[int, int], too_large: int, limit: int, unit: int) -> int:
    """The next batch to try, a multiple of ``unit``; 0 when nothing is left between what fits and what does not."""
    fits = max(peaks, default=0)
    ceiling = too_large - unit if too_large else min(4 * fits, LARGEST_BATCH // unit * unit)
    if ceiling <= fits or ceiling < unit:
        return 0
    middle = max(unit, (fits + too_large) // 2 // unit * unit)
    if len(peaks) < 2:
        return middle if too_large else min(2 * fits, ceiling)
    (low, least), (high, most) = sorted(peaks.items())[-2:]
    slope = max((most - least) / (high - low), 1.0)
    guess = max(fits + unit, int(fits + (limit - peaks[fits]) / slope) // unit * unit)
    if guess <= ceiling:
        return guess
    return max(middle, fits + unit) if too_large else ceiling


def _verdict(best: Outcome, spec: RunSpec, topology: Topology) -> str:
    shape = f"batch {best.batch_size} × {spec.training.sequence_length} on {topology.name}"
    if isinstance(best, Refused):
        return f"Cannot be laid out: {best.message}"
    if isinstance(best, DoesNotFit):
        needed = f"needs {size(best.needed_bytes)}" if best.needed_bytes else "needs more memory"
        return f"Does not fit: {shape} {needed} of {size(best.limit_bytes)} on each device."
    used = f"{size(best.memory.peak)} of {size(best.memory.limit)} on each device"
    return f"Fits: {shape} peaks at {used} ({best.memory.peak / best.memory.limit:.0%})."


def _fail(folder: Path, message: str) -> int:
    job_folder.fail(folder, message)
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
