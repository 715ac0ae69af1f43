"""How a replay is made: what is replayed is decided here, from the bundle's documents; ``training/replay.py`` does it
in a process of its own, and what it measured is set beside the policy.
"""

from __future__ import annotations

import secrets
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evidence import canonical, deeper, events, reading, replay, rundir, typed
from evidence.job_folder import Progress
from evidence.manifest import Included, Performed
from evidence.provenance import REPOSITORY
from evidence.reading import PREDICTIONS, Bundle, Unreadable
from evidence.replay import (
    ANSWER_FILES,
    BATCH_FILES,
    PROGRAM_FILES,
    Asked,
    BundleSource,
    Drawn,
    Installed,
    Measured,
    Replay,
    Segment,
)
from evidence.spec import SpecError, parse

DRIVER = REPOSITORY / "training" / "replay.py"
LIMIT_SECONDS = 3600.0
LOOK_SECONDS = 0.2
EVAL_SET = "eval/eval_set.jsonl"
SOURCE = "source/files"


class CannotReplay(ValueError):
    """Nothing of this bundle can be replayed, or not what was asked for; ``str()`` says why. ``field``: which part of
    the ask is wrong, "" for none."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Ask:
    """``to_step`` 0: no range, then the segment is drawn. ``nonce`` "": a fresh one, from this machine."""

    from_step: int = 0
    to_step: int = 0
    nonce: str = ""
    predictions: int = replay.PREDICTIONS


@dataclass(frozen=True)
class Wanted:
    """Answers of one state that are generated again. ``batches`` of the evaluation; ``lines``: item number (from 0) →
    [line of ``file``, ids that stand there]."""

    file: str
    step: int
    batches: list[int]
    lines: dict[str, list[Any]]


@dataclass(frozen=True)
class Job:
    """All that the process is told: it reads the bundle's config, rows, tokenizer and states, and nothing of ours, so
    that it also runs with a bundle's own source. ``no_samples``, ``no_predictions``: why, by step, there are none."""

    bundle: str
    seal: str
    from_step: int
    to_step: int
    end_state: bool
    no_end: str
    devices: int
    order: list[int]
    platform: str
    plan: dict[str, Any]
    program_sha256: str
    same_source: bool
    control_factor: float
    samples: list[Wanted]
    predictions: list[Wanted]
    no_answers: list[list[Any]]
    no_predictions: str


def nothing_of(bundle: Bundle) -> str:
    """Why there is nothing of this bundle that could be replayed, whatever is asked for; "" where there may be."""
    if bundle.early:
        return "the run ended before its first step: it has no result, so there is nothing to replay"
    return ""


def prepare(bundle: Bundle, ask: Ask, own_source: bool = False) -> tuple[Job, Segment, Drawn | Asked, Installed]:
    """What the process is to do. Raises CannotReplay; Unreadable where the bundle's documents are broken."""
    if why := nothing_of(bundle):
        raise CannotReplay(why)
    manifest, last = bundle.manifest, bundle.rows[-1].step
    nonce = ask.nonce or secrets.token_hex(16)
    candidates = replay.segments(manifest, last)
    if not candidates:
        raise CannotReplay("the bundle includes no saved state that a segment could begin with")
    saved = sorted(item.step for item in manifest.checkpoints if isinstance(item, Included))
    if ask.to_step:
        segment, chosen = Segment(ask.from_step, ask.to_step), Asked("asked", nonce)
        if ask.from_step not in saved:
            states = ", ".join(map(str, saved))
            raise CannotReplay(f"a replay begins at an included state ({states}), not at {ask.from_step}", "from_step")
        if not ask.from_step < ask.to_step <= last:
            raise CannotReplay(f"to_step must be {ask.from_step + 1} to {last}, got {ask.to_step}", "to_step")
    else:
        segment, chosen = replay.draw(bundle.seal, nonce, candidates), Drawn("drawn", nonce)  # type: ignore[assignment]
    for step in saved:
        _check_regular(bundle, f"checkpoints/step_{step:06d}")
    files = dict.fromkeys([*PROGRAM_FILES, *BATCH_FILES, *ANSWER_FILES])
    differing = tuple(name for name in files if not _same(bundle, name))
    try:
        spec = parse(bundle.document("config/effective.json"))
    except SpecError as error:
        raise CannotReplay(f"config/effective.json cannot be read: {error}") from None
    items = len(bundle.lines(EVAL_SET))
    batch = max(1, min(spec.evaluation.batch_size, items))
    samples, no_answers = _samples(bundle, saved)
    predictions, no_predictions = _predictions(bundle, saved, nonce, items, batch, ask.predictions)
    devices = manifest.mesh.devices_used
    order = [device.id for device in manifest.hardware.devices[:devices]]
    job = Job(
        bundle=str(bundle.path.resolve()),
        seal=bundle.seal,
        from_step=segment.from_step,
        to_step=segment.to_step,
        end_state=segment.to_step in saved,
        no_end=f"the bundle includes no state of step {segment.to_step}",
        devices=devices,
        order=order if sorted(order) == list(range(devices)) else list(range(devices)),
        platform=manifest.hardware.platform,
        plan=asdict(manifest.program.plan),
        program_sha256=manifest.program.sha256,
        same_source=own_source or not set(differing) & set(PROGRAM_FILES),
        control_factor=replay.control_factor(spec.training.compute_dtype),
        samples=samples,
        predictions=predictions,
        no_answers=no_answers,
        no_predictions=no_predictions,
    )
    return job, segment, chosen, Installed("installed", differing)


def make(
    path: Path,
    ask: Ask,
    *,
    own_source: bool = False,
    told: Callable[[Progress], None] | None = None,
    progress: Path | None = None,
    log: Path | None = None,
    limit_seconds: float = LIMIT_SECONDS,
) -> Replay:
    """Replay a segment of the bundle folder ``path``. ``own_source`` EXECUTES THE BUNDLE'S CODE: do it in a container.

    ``progress``: where the process writes what it does; ``told`` is called with each line of it. Raises CannotReplay,
    Unreadable, deeper.Impossible.
    """
    bundle = Bundle(path)
    job, segment, chosen, installed = prepare(bundle, ask, own_source)
    with tempfile.TemporaryDirectory(prefix="assay-replay-") as place:
        folder = Path(place)
        rundir.write_document(folder / "job.json", asdict(job))
        front = _own_source(bundle, folder) if own_source else None
        said = progress or folder / "progress.jsonl"
        said.touch()
        with _listening(said, told):
            measured = deeper.made(
                Measured,
                DRIVER if own_source else "training.replay",
                ["--job", str(folder / "job.json"), "--progress", str(said.resolve())],
                limit_seconds=limit_seconds,
                devices=job.devices,
                platforms="cpu" if job.platform == "cpu" else "",
                front=front,
                log=log,
            )
    return judged(bundle, segment, chosen, BundleSource("bundle_source") if own_source else installed, measured)


def judged(
    bundle: Bundle, segment: Segment, chosen: Drawn | Asked, code: Installed | BundleSource, measured: Measured
) -> Replay:
    """What was measured, beside the policy for how the machines differ."""
    tier = replay.tier_of(bundle.manifest, measured.here)
    return Replay(
        schema=replay.SCHEMA,
        seal=bundle.seal,
        segment=segment,
        chosen=chosen,
        code=code,
        tier=tier.name,
        tier_because=tier.because,
        caps=tier.caps,
        measured=measured,
        made_at=events.now(),
    )


def read(path: Path) -> Replay:
    """A Replay document. Raises ValueError, OSError."""
    return typed.read(Replay, canonical.read(path))  # type: ignore[no-any-return]


def write(path: Path, made: Replay) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rundir.write_document(path, typed.write(made))


def _samples(bundle: Bundle, saved: list[int]) -> tuple[list[Wanted], list[list[Any]]]:
    """The samples of each included state: they are the first held-out items, in order."""
    if not bundle.manifest.samples:
        return [], []
    prompts = [item["prompt"] for item in bundle.lines(EVAL_SET)]
    wanted, missing = [], []
    by_step: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    for number, row in enumerate(bundle.lines(reading.SAMPLES), 1):
        by_step.setdefault(row["step"], []).append((number, row))
    for step in saved:
        rows = by_step.get(step, [])
        if [row["prompt"] for _, row in rows] != prompts[: len(rows)]:
            missing.append([step, "the samples' prompts are not the first of the held-out items"])
        elif rows:
            lines = {str(item): [number, row["token_ids"]] for item, (number, row) in enumerate(rows)}
            wanted.append(Wanted(reading.SAMPLES, step, [0], lines))
    return wanted, missing


def _predictions(
    bundle: Bundle, saved: list[int], nonce: str, items: int, batch: int, wanted: int
) -> tuple[list[Wanted], str]:
    evaluation = bundle.summary.evaluation
    if not isinstance(evaluation, Performed):
        return [], f"there was no evaluation: {evaluation.because}"
    if evaluation.checkpoint_step not in saved:
        return [], f"the state that was evaluated, of step {evaluation.checkpoint_step}, is not in the bundle"
    rows = bundle.lines(PREDICTIONS)
    batches = replay.draw_batches(bundle.seal, nonce, items, batch, max(wanted, 1))
    lines = {
        str(item): [item + 1, rows[item]["token_ids"]]
        for number in batches
        for item in range(number * batch, min((number + 1) * batch, items, len(rows)))
    }
    return [Wanted(PREDICTIONS, evaluation.checkpoint_step, batches, lines)], ""


def _same(bundle: Bundle, name: str) -> bool:
    try:
        return bundle.sha256(f"{SOURCE}/{name}") == canonical.sha256_file(REPOSITORY / name)
    except (Unreadable, OSError):
        return False


def _check_regular(bundle: Bundle, folder: str) -> None:
    """Raises CannotReplay where a state holds what is neither file nor folder: the process would follow it."""
    for name, facts in bundle.entries.items():
        inside = name == folder or name.startswith((f"{folder}/", f"{folder}."))
        if inside and not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            raise CannotReplay(f"{name} is neither a file nor a folder (STR-02)")


def _own_source(bundle: Bundle, folder: Path) -> Path:
    """A copy of the bundle's source, to be executed. Raises CannotReplay where there is none."""
    place = folder / "source"
    names = [name for name in bundle.files if name.startswith(f"{SOURCE}/")]
    if f"{SOURCE}/training/step.py" not in names:
        raise CannotReplay(f"the bundle has no source to run: {SOURCE}/training/step.py is not there")
    for name in names:
        target = place / name.removeprefix(f"{SOURCE}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / name, target)
    return place


@contextmanager
def _listening(path: Path, told: Callable[[Progress], None] | None) -> Iterator[None]:
    """Call ``told`` with each line of progress while the block runs."""
    if told is None:
        yield
        return
    ended = threading.Event()

    def listen() -> None:
        offset, last = 0, False
        while True:
            lines, offset = rundir.whole_lines(path, offset)
            for line in lines:
                try:
                    told(typed.read(Progress, canonical.decode(line)))
                except ValueError:
                    continue
            if last:
                return
            last = ended.wait(LOOK_SECONDS)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
