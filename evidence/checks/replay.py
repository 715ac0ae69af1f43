"""RPL: the run's steps, done again, give what the bundle says. Nothing is run here: a replay is there, or is not."""

from __future__ import annotations

from collections.abc import Iterable

from evidence import reading, replay
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.manifest import Performed
from evidence.reading import PREDICTIONS, Bundle
from evidence.replay import Answered, Asked, Compared, Installed, NotAnswered, Replay
from evidence.verdict import Finding

family = Family("replay")


@family.check("RPL-01", "the saved state and the step's batch give the loss that is stated", "E4", cost="replay")
def first_step(bundle: Bundle) -> Findings:
    made = _replay(bundle)
    start = replay.state_of(bundle.manifest, made.segment.from_step)
    if start is None:
        expected = "a state that the bundle includes"
        yield Finding(reading.MANIFEST, "$.checkpoints", expected, f"none of step {made.segment.from_step}")
        return
    yield from differs(reading.MANIFEST, f"the state of step {start.step}", made.measured.start, start)
    found = [*_outside(_compared(bundle, made)[:1]), *_batches(bundle, made, first=True)]
    yield from _excused(made, found, _step_files(bundle, made))


@family.check("RPL-02", "the segment, trained again, gives the stated rows and the saved state", "E4", cost="replay")
def segment(bundle: Bundle) -> Findings:
    made = _replay(bundle)
    if not replay.consecutive(made.measured.steps, made.segment) or made.segment.to_step > bundle.rows[-1].step:
        steps = [row.step for row in made.measured.steps]
        expected = f"steps {made.segment.from_step + 1} to {made.segment.to_step} of the run, each once"
        yield Finding("the replay", "$.measured.steps", expected, str(steps))
        return
    found = [*_outside(_compared(bundle, made)), *_batches(bundle, made)]
    yield from _excused(made, found, _step_files(bundle, made))


@family.check("RPL-03", "a replay with a wrong learning rate would have been noticed", "E4", cost="replay")
def has_power(bundle: Bundle) -> Findings:
    made = _replay(bundle)
    control, tier = made.measured.control, _tier(bundle, made)
    factor = replay.control_factor(bundle.manifest.training.compute_dtype)
    if not 1 < control.factor <= factor:
        yield Finding("the replay", "$.measured.control.factor", f"{factor}, or nearer to 1", str(control.factor))
    if not replay.consecutive(control.steps, made.segment):
        yield Finding("the replay", "$.measured.control.steps", "the steps of the segment, each once", "others")
        return
    if all(item.within for item in replay.compare(bundle.rows, bundle.manifest, control.steps, control.end, tier.caps)):
        raise NotRun(
            f"learning rates times {control.factor} pass, too: this segment proves nothing at {tier.name}; replay a "
            "longer one, or one that ends at a saved state"
        )


@family.check("RPL-04", "the samples are what the saved states say", "E4", cost="replay")
def samples(bundle: Bundle) -> Findings:
    made = _replay(bundle)
    if not bundle.manifest.samples:
        return  # none is claimed
    lines, found = bundle.lines(reading.SAMPLES), []
    for item in made.measured.samples:
        if isinstance(item, NotAnswered):
            raise NotRun(f"step {item.step}: {item.because}")
        here = {number for number, row in enumerate(lines, 1) if row["step"] == item.step}
        if here != {answer.line for answer in item.answers}:
            found.append(Finding("the replay", f"samples of step {item.step}", f"lines {sorted(here)}", "others"))
        found += _unlike(bundle, made, reading.SAMPLES, lines, item)
    if not made.measured.samples:
        raise NotRun("no state that has samples is in the bundle")
    yield from _excused(made, found, replay.ANSWER_FILES)


@family.check("RPL-05", "the verifier drew the segment, and replayed it itself", "E4", warns=True, cost="replay")
def not_picked(bundle: Bundle) -> Findings:
    made, signer = _counting(bundle)
    if signer:
        yield Finding(reading.REPLAY, "", "a replay made here", f"one that {signer} recorded")
    if isinstance(made.chosen, Asked):
        yield Finding("the replay", "$.chosen", "a segment drawn by seal and nonce", "one that somebody named")
        return
    candidates = replay.segments(bundle.manifest, bundle.rows[-1].step)
    drawn = replay.draw(bundle.seal, made.chosen.nonce, candidates) if candidates else None
    yield from differs("the replay", "$.segment", drawn, made.segment)


@family.check("RPL-06", "the tolerance is the verifier's own, for how the machines differ", "E4", cost="replay")
def policy(bundle: Bundle) -> Findings:
    made = _replay(bundle)
    tier = _tier(bundle, made)
    if made.tier > tier.name:
        yield Finding("the replay", "$.tier", f"{tier.name} ({tier.because})", made.tier)
    for name in ("loss", "grad_norm", "distance", "margin"):
        allowed, stated = getattr(tier.caps, name), getattr(made.caps, name)
        if stated > allowed:
            yield Finding("the replay", f"$.caps.{name}", f"at most {allowed}", str(stated))


@family.check("RPL-07", "drawn answers of the evaluation are what the saved state says", "E4", cost="replay")
def predictions(bundle: Bundle) -> Findings:
    made = _replay(bundle)
    evaluation, item = bundle.summary.evaluation, made.measured.predictions
    if not isinstance(evaluation, Performed):
        return  # none is claimed
    if isinstance(item, NotAnswered):
        raise NotRun(item.because)
    lines = bundle.lines(PREDICTIONS)
    found = list(differs("the replay", "$.measured.predictions.step", evaluation.checkpoint_step, item.step))
    wanted = min(len(lines), replay.PREDICTIONS)
    if len({answer.line for answer in item.answers}) < wanted:
        found.append(Finding("the replay", "$.measured.predictions", f"{wanted} answers", str(len(item.answers))))
    found += _unlike(bundle, made, PREDICTIONS, lines, item)
    yield from _excused(made, found, replay.ANSWER_FILES)


def _counting(bundle: Bundle) -> tuple[Replay, str]:
    try:
        return replay.counting(bundle)
    except replay.Unusable as why:
        raise NotRun(str(why)) from None


def _replay(bundle: Bundle) -> Replay:
    return _counting(bundle)[0]


def _tier(bundle: Bundle, made: Replay) -> replay.Tier:
    return replay.tier_of(bundle.manifest, made.measured.here)


def _compared(bundle: Bundle, made: Replay) -> list[Compared]:
    measured, caps = made.measured, _tier(bundle, made).caps
    return replay.compare(bundle.rows, bundle.manifest, measured.steps, measured.end, caps)


def _outside(compared: Iterable[Compared]) -> Findings:
    for item in compared:
        if not item.within:
            expected = f"a relative difference of at most {item.cap:g}" if item.cap else "the same bits"
            yield Finding(reading.METRICS, f"{item.where}: {item.what}", expected, f"a difference of {item.found:.3g}")


def _batches(bundle: Bundle, made: Replay, first: bool = False) -> Findings:
    stated = {row.step: row.batch_sha256 for row in bundle.rows}
    for row in made.measured.steps[:1] if first else made.measured.steps:
        said = stated.get(row.step, "no such step")
        yield from differs(reading.METRICS, f"step {row.step}: batch_sha256", row.batch_sha256, said)


def _unlike(bundle: Bundle, made: Replay, name: str, lines: list[dict[str, object]], item: Answered) -> Findings:
    """Answers that differ where the model was sure; ids that a near tie explains are no finding."""
    allowed = _tier(bundle, made).caps.margin
    for answer in item.answers:
        stated = lines[answer.line - 1]["token_ids"] if answer.line <= len(lines) else "no such line"
        if stated != list(answer.token_ids) and (answer.margin > allowed or not allowed):
            expected = " ".join(map(str, answer.token_ids))
            found = " ".join(map(str, stated)) if isinstance(stated, list) else str(stated)
            yield Finding(name, f"line {answer.line}: token_ids", expected[:160], found[:160])


def _excused(made: Replay, found: list[Finding], files: tuple[str, ...]) -> Findings:
    """``found``, unless the code that ran here differs from the bundle's in what decides it: then nobody can say."""
    differing = [name for name in made.code.differing if name in files] if isinstance(made.code, Installed) else []
    if found and differing:
        raise NotRun(
            f"{found[0]}; but {', '.join(differing)} of the code that replayed differs from the bundle's, so that may "
            "be why; replay with --bundle-source, in a container"
        )
    yield from found


def _step_files(bundle: Bundle, made: Replay) -> tuple[str, ...]:
    """The files that a difference of the steps may come from: an equal program, or equal batches, clear theirs."""
    same_program = made.measured.here.program_sha256 == bundle.manifest.program.sha256
    same_batches = not list(_batches(bundle, made))
    files = () if same_program else replay.PROGRAM_FILES
    return files + (("evidence/schedule.py",) if same_batches else replay.BATCH_FILES)
