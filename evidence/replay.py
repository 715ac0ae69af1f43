"""A replay: a segment of a sealed run, executed again from its saved state, beside what the bundle says.

``training/replay.py`` measures, in a process of its own, and judges nothing. How large a difference may be is policy,
here: it depends only on how the machine that replayed differs from the one that ran, and no bundle has a say in it. A
replay is believed when this verifier made it; one that lies in a bundle is a claim, and needs a signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

from evidence.events import Step
from evidence.hardware import TPU_MATMUL_BITS
from evidence.manifest import Included, RunManifest
from evidence.typed import Count, Natural, NotNegative, Positive, Sha256, Text, Utc

if TYPE_CHECKING:
    from evidence.reading import Bundle

SCHEMA: Final = "assay/replay@1"
LONGEST_SEGMENT: Final = 50
"""Steps of a segment that is drawn: the tolerances were measured over 50, and differences grow with every step."""
PREDICTIONS: Final = 64
"""Held-out items that are answered again at least, where there are so many."""
UNLIKE: Final = 1e9
"""Margin of an answer that no rounding explains: it ends early, goes on too long, or is of no known token."""

PROGRAM_FILES: Final = (
    "evidence/plan.py",
    "evidence/spec.py",
    "training/gemma.py",
    "training/loss.py",
    "training/mesh.py",
    "training/optimizer.py",
    "training/step.py",
)
BATCH_FILES: Final = (
    "evidence/schedule.py",
    "training/batches.py",
    "training/packing.py",
    "training/rows.py",
    "training/tokenizer.py",
)
ANSWER_FILES: Final = ("training/evaluate.py", "training/gemma.py", "training/generate.py", "training/tokenizer.py")
"""Source files that decide the step, what it is given, and the generated answers."""


@dataclass(frozen=True)
class Segment:
    """Steps ``from_step`` + 1 … ``to_step``."""

    from_step: Natural
    to_step: Count

    @property
    def length(self) -> int:
        return self.to_step - self.from_step


@dataclass(frozen=True)
class Drawn:
    """By the digest of seal and nonce: who sealed the bundle could not know which segment it would be."""

    kind: Literal["drawn"]
    nonce: Text


@dataclass(frozen=True)
class Asked:
    """Somebody named the segment; ``nonce`` still drew the held-out items."""

    kind: Literal["asked"]
    nonce: Text


@dataclass(frozen=True)
class Here:
    """What the replay ran on; ``program_sha256`` of the step's StableHLO text, lowered here."""

    platform: Text
    device_kind: Text
    runtime: Text
    devices: Count
    host_sha256: Sha256
    cpu_model: Text
    logical_cpus: Count
    memory_bytes: Count
    versions: dict[str, Text]
    program_sha256: Sha256


@dataclass(frozen=True)
class Installed:
    """``differing``: those of the files that decide the numbers which are not the bundle's byte for byte."""

    kind: Literal["installed"]
    differing: tuple[str, ...]


@dataclass(frozen=True)
class BundleSource:
    """The bundle's own source was executed, because somebody said so."""

    kind: Literal["bundle_source"]


@dataclass(frozen=True)
class State:
    step: Natural
    parameters_digest: Sha256
    optimizer_digest: Sha256


@dataclass(frozen=True)
class Row:
    """A step as it was done again."""

    step: Count
    loss: NotNegative
    grad_norm: NotNegative
    param_norm: NotNegative
    batch_sha256: Sha256


@dataclass(frozen=True)
class Reached:
    """The segment ends where the bundle has a state. ``distance``: between its weights and those of the replay;
    ``update``: between its weights and those that the segment began with (both Euclidean)."""

    kind: Literal["reached"]
    state: State
    distance: NotNegative
    update: NotNegative


@dataclass(frozen=True)
class NoState:
    kind: Literal["no_state"]
    because: Text


@dataclass(frozen=True)
class Control:
    """The same segment with every learning rate times ``factor``: a test that accepts this, too, tests nothing."""

    factor: Positive
    steps: tuple[Row, ...]
    end: Reached | NoState


@dataclass(frozen=True)
class Answer:
    """``line``: of the file it is compared with. ``margin``: where the bundle's ids leave these, by how much the
    model's logits prefer another token to the bundle's; 0 where they do not leave them."""

    line: Count
    token_ids: tuple[Natural, ...]
    margin: NotNegative = 0.0


@dataclass(frozen=True)
class Answered:
    kind: Literal["answered"]
    step: Natural
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class NotAnswered:
    kind: Literal["not_answered"]
    step: Natural
    because: Text


@dataclass(frozen=True)
class Measured:
    """What the replaying process saw. ``samples``: a branch for each included state that has samples."""

    here: Here
    start: State
    steps: tuple[Row, ...]
    end: Reached | NoState
    control: Control
    samples: tuple[Answered | NotAnswered, ...]
    predictions: Answered | NotAnswered
    seconds: NotNegative


@dataclass(frozen=True)
class Caps:
    """The largest relative difference that counts as the same. ``distance`` is in parts of the segment's update;
    ``margin`` in logits."""

    loss: NotNegative
    grad_norm: NotNegative
    distance: NotNegative
    margin: NotNegative


@dataclass(frozen=True)
class Replay:
    """``seal``: of the bundle that was replayed (``Bundle.seal``). ``tier``, ``caps``: the policy it was judged by."""

    schema: Literal["assay/replay@1"]
    seal: Sha256
    segment: Segment
    chosen: Drawn | Asked
    code: Installed | BundleSource
    tier: Literal["T0", "T1", "T2", "T3"]
    tier_because: Text
    caps: Caps
    measured: Measured
    made_at: Utc


# Policy: how alike two machines are, and what may differ between them.

CAPS: Final = {
    "T0": Caps(loss=0.0, grad_norm=0.0, distance=0.0, margin=0.0),
    "T1": Caps(loss=1e-5, grad_norm=1e-4, distance=1e-5, margin=1e-3),
    "T2": Caps(loss=1e-4, grad_norm=1e-3, distance=1e-3, margin=1e-2),
    "T3": Caps(loss=1e-3, grad_norm=5e-2, distance=5e-2, margin=0.25),
}
"""Loss and distance are the published policy. The gradient norm is noisier, and has a cap of its own at T1: the demo
run (learning rate 0.004), replayed on one core instead of two, gave 1.0e-5 over steps 401-450 and 1.1e-5 over 1-50,
where a learning rate wrong by a hundredth gave 6.9e-3 and 0.7. Its loss was off by 2.9e-6 there, its weights by 6.7e-6:
a run with larger steps than the demo's may honestly exceed T1."""
TIER_MEANING: Final = {
    "T0": "the same machine (or kind of accelerator), runtime and program: every bit must agree",
    "T1": "the same, with another number of cores or devices, in float32",
    "T2": "other hardware or another runtime, in float32",
    "T3": "another machine or runtime in bfloat16 or float32 of few bits, where rounding hides all but large lies",
}


@dataclass(frozen=True)
class Tier:
    name: Literal["T0", "T1", "T2", "T3"]
    because: str

    @property
    def caps(self) -> Caps:
        return CAPS[self.name]


def tier_of(manifest: RunManifest, here: Here) -> Tier:
    """Which tier a replay is in; ``because`` names every difference that matters.

    A CPU is of one kind only with itself: many machines call theirs "AMD EPYC" and have other instructions, and what a
    name cannot promise must not accuse an honest run.
    """
    ran, cpu = manifest.hardware, manifest.hardware.platform == "cpu"
    versions = manifest.software.versions
    other = [
        *_differs("platform", ran.platform, here.platform),
        *_differs("device", ran.device_kind, here.device_kind),
        *(_another_machine(manifest, here) if cpu else []),
        *_differs("runtime", ran.runtime, here.runtime),
        *_differs("jaxlib", versions.get("jaxlib", "unknown"), here.versions.get("jaxlib", "unknown")),
        *_differs("program", manifest.program.sha256[:12], here.program_sha256[:12]),
    ]
    shape = [
        *_differs("devices", manifest.mesh.devices_used, here.devices),
        *_differs("processes", ran.process_count, 1),
        *(_differs("cores", getattr(manifest.location, "logical_cpus", 0), here.logical_cpus) if cpu else []),
    ]
    if not other and not shape:
        where = here.cpu_model if cpu else f"{here.devices} × {here.device_kind}"
        return Tier("T0", f"{where}, jaxlib {here.versions.get('jaxlib', 'unknown')} and the program are the run's")
    because = "; ".join([*other, *shape])
    if manifest.training.compute_dtype != "float32":
        return Tier("T3", f"computed in {manifest.training.compute_dtype}, and {because}")
    if 0 < ran.matmul_bits < TPU_MATMUL_BITS:  # an accelerator's own way with float32, TF32 for one
        return Tier("T3", f"{ran.matmul_bits} bits of a float32 product were kept, and {because}")
    return Tier("T2" if other else "T1", because)


def control_factor(compute_dtype: str) -> float:
    """By how much the control's learning rates are wrong. In bfloat16 less would drown in rounding."""
    return 1.01 if compute_dtype == "float32" else 1.1


@dataclass(frozen=True)
class Compared:
    """One statistic beside its cap; ``where`` it was largest."""

    what: str
    cap: float
    found: float
    where: str

    @property
    def within(self) -> bool:
        return self.found <= self.cap


def compare(
    rows: Sequence[Step], manifest: RunManifest, steps: Sequence[Row], end: Reached | NoState, caps: Caps
) -> list[Compared]:
    """What was done again beside the bundle's rows and states, first the first step's loss: it knows nothing of the
    optimizer yet, so it tests state and batch alone. Rows that are not there are as different as can be."""
    stated = {row.step: row for row in rows}
    pairs = [(row, stated.get(row.step)) for row in steps]

    def largest(
        what: str, cap: float, of: Callable[[Row | Step], float], among: list[tuple[Row, Step | None]]
    ) -> Compared:
        found = [(relative(of(row), of(said)) if said else 1.0, row.step) for row, said in among]
        worst, step = max(found, key=lambda item: (item[0], -item[1]), default=(1.0, 0))
        return Compared(what, cap, worst, f"step {step}")

    result = [
        largest("loss of the first step", caps.loss, lambda row: row.loss, pairs[:1]),
        largest("loss", caps.loss, lambda row: row.loss, pairs),
        largest("gradient norm", caps.grad_norm, lambda row: row.grad_norm, pairs),
        largest("parameter norm", caps.loss, lambda row: row.param_norm, pairs),
    ]
    if isinstance(end, Reached):
        where = f"the state of step {end.state.step}"
        moved = end.distance / end.update if end.update else float(end.distance > 0)
        result.append(Compared("distance of the weights, in updates", caps.distance, moved, where))
        if not caps.distance:
            saved = state_of(manifest, end.state.step)
            result.append(Compared("arrays that differ in a bit", 0.0, float(saved != end.state), where))
    return result


def relative(first: float, second: float) -> float:
    return abs(first - second) / max(abs(first), abs(second), 1e-30)


def state_of(manifest: RunManifest, step: int) -> State | None:
    """The state that the bundle includes of ``step``, by its digests."""
    for item in manifest.checkpoints:
        if isinstance(item, Included) and item.step == step:
            return State(item.step, item.parameters_digest, item.optimizer_digest)
    return None


def bit_equal(bundle_rows: Sequence[Step], manifest: RunManifest, measured: Measured) -> bool:
    return all(item.found == 0 for item in compare(bundle_rows, manifest, measured.steps, measured.end, CAPS["T0"]))


# Which segment.


def segments(manifest: RunManifest, last: int) -> list[Segment]:
    """What can be replayed: from each included state to the next or the run's last step, at most LONGEST_SEGMENT."""
    saved = sorted({item.step for item in manifest.checkpoints if isinstance(item, Included) and item.step <= last})
    ends = [*saved[1:], last]
    return [
        Segment(start, min(end, start + LONGEST_SEGMENT)) for start, end in zip(saved, ends, strict=True) if end > start
    ]


def draw(seal: str, nonce: str, candidates: Sequence[Segment]) -> Segment:
    return candidates[_number(seal, nonce, "segment") % len(candidates)]


def draw_batches(seal: str, nonce: str, items: int, batch: int, wanted: int) -> list[int]:
    """Batches of an evaluation that hold ``wanted`` items together (all of them where there are fewer), in order.

    Whole batches, so that the very program answers again that answered. A short last one alone would have another
    shape, so the first is added to it.
    """
    count = -(-items // batch)
    order = sorted(range(count), key=lambda number: _number(seal, nonce, f"batch {number}"))
    drawn: list[int] = []
    for number in order:
        if sum(min(batch, items - batch * known) for known in drawn) >= min(wanted, items):
            break
        drawn.append(number)
    if drawn == [count - 1] and items % batch:
        drawn.append(0)
    return sorted(set(drawn))


def consecutive(rows: Sequence[Row], segment: Segment) -> bool:
    """Whether ``rows`` are the steps of ``segment``, each once."""
    steps = [segment.from_step, *(row.step for row in rows)]
    return steps[-1] == segment.to_step and all(after == before + 1 for before, after in pairwise(steps))


# Whose replay.


class Unusable(ValueError):
    """There is no replay that counts; ``str()`` says why."""


def counting(bundle: Bundle) -> tuple[Replay, str]:
    """The replay that counts for ``bundle``, and who recorded it ("" for this verifier). Raises Unusable."""
    from evidence import reading, trust, typed

    if bundle.known.replay is not None:
        found, signer = bundle.known.replay, ""
    elif reading.REPLAY not in bundle.files:
        raise Unusable(bundle.known.no_replay)
    else:
        signer = trust.vouched(bundle, reading.REPLAY)
        if not signer:
            raise Unusable(f"{reading.REPLAY} was recorded by nobody you know; repeat it: assay replay")
        try:
            found = typed.read(Replay, bundle.document(reading.REPLAY))
        except typed.WrongDocument as error:
            raise Unusable(f"{reading.REPLAY} is no replay of this version: {str(error)[:200]}") from None
    if found.seal != bundle.seal:
        raise Unusable(f"the replay is of other bytes: of the seal {found.seal[:12]}…, not of {bundle.seal[:12]}…")
    return found, signer


def _number(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest(), "big")


def _another_machine(manifest: RunManifest, here: Here) -> Iterator[str]:
    ran = manifest.location
    yield from _differs("CPU", getattr(ran, "cpu_model", "unknown"), here.cpu_model)
    yield from _differs("host", getattr(ran, "host_sha256", "unknown")[:12], here.host_sha256[:12])
    yield from _differs("memory", getattr(ran, "memory_bytes", 0), here.memory_bytes)


def _differs(what: str, ran: object, here: object) -> Iterator[str]:
    if ran != here:
        yield f"{what} {here} here, {ran} in the run"
