"""The milestone's definition of done, read from a bundle: each item proven, open, or impossible where one is; with its
evidence.

A pure function of a bundle, a verdict over it, and the config of the submission. That an item is *proven* means that
the checks behind it passed; a rehearsal proves the way, never the submission.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from evidence import preflight, preflight_comparison, reading, rehearsal, report, typed
from evidence.manifest import Kaggle, Local, Performed
from evidence.preflight import DoesNotFit, Fits, Report
from evidence.reading import Bundle, Unreadable
from evidence.spec import RunSpec, SpecError, parameter_count, parse
from evidence.verdict import PASS, WARN, Verdict

PROVEN: Final = "proven"
OPEN: Final = "open"
IMPOSSIBLE: Final = "impossible here"
Standing = Literal["proven", "open", "impossible here"]

DEVICES = 8
TOPOLOGIES = ("v5e-8", "v3-8")
"""The platform lends the first, and still calls it by the second's name: the step has to fit both."""
REPLAYED = ("RPL-01", "RPL-02", "RPL-03")
KAGGLES = ("KGL-01", "KGL-02", "KGL-05")
VALUES = ("SCH-01", "SCH-02", "SCH-03")


@dataclass(frozen=True)
class Item:
    """``said``: what is there, in one line; ``evidence``: files of the repository or commands that show it."""

    id: str
    title: str
    standing: Standing
    said: str
    evidence: tuple[str, ...]


def of_bundle(bundle: Bundle, verdict: Verdict, asked: RunSpec, unreachable: str = "") -> list[Item]:
    """Every item that a bundle of the submission ``asked`` can prove. ``unreachable``: why that cannot run from here;
    "" where it can. Raises Unreadable where its documents cannot be read."""
    if bundle.early:
        raise Unreadable(f"{bundle.path.name} is of a run that ended before its first row: it has no result")
    judged = _Judged(bundle, verdict)
    of_the_run = list(_of_the_run(judged, asked))
    if unreachable:
        of_the_run = [
            replace(item, standing=IMPOSSIBLE, said=f"{item.said}; {unreachable}") if item.standing == OPEN else item
            for item in of_the_run
        ]
    return [*_of_the_evidence(judged, asked), *_foretold(judged, asked), *of_the_run]


class _Judged:
    """A bundle with what its checks found, and where its files are for a reader."""

    def __init__(self, bundle: Bundle, verdict: Verdict) -> None:
        self.bundle, self.verdict = bundle, verdict
        self.results = {item.id: item for item in verdict.results}
        self.claims = {claim.id: claim for claim in report.report(bundle, verdict).claims}

    def item(self, key: str, title: str, proven: bool, said: str, *files: str) -> Item:
        where = tuple(self.file(name) for name in files)
        return Item(key, title, PROVEN if proven else OPEN, said, where)

    def file(self, name: str) -> str:
        return f"submission_runs/{self.bundle.path.name}/{name}"

    def holds(self, claim: str) -> bool:
        return claim in self.claims and self.claims[claim].verdict == "holds"

    def said(self, claim: str) -> str:
        found = self.claims.get(claim)
        if found is None:
            return "the bundle claims nothing of it"
        return found.said if found.verdict == "holds" else f"{found.said}: {found.verdict}; {found.unproven_because}"

    def passed(self, checks: Iterable[str]) -> bool:
        return all(name in self.results and self.results[name].result in (PASS, WARN) for name in checks)

    def unlike(self, asked: RunSpec) -> str:
        """The settings in which what ran differs from what was asked; "" for none. Raises Unreadable."""
        try:
            ran = parse(self.bundle.document("config/effective.json"))
        except SpecError as error:
            raise Unreadable(f"config/effective.json is no spec: {error}") from None
        return ", ".join(item.key for item in rehearsal.differences(asked, ran))

    def left(self, checks: Iterable[str]) -> str:
        """What the first of the checks that did not pass says."""
        for name in checks:
            found = self.results.get(name)
            if found is None:
                return f"{name} is not about this bundle"
            if found.result not in (PASS, WARN):
                return f"{name}: {found.reason or found.findings[0].expected}"
        return ""


def _of_the_evidence(judged: _Judged, asked: RunSpec) -> Iterable[Item]:
    """What a rehearsal can prove as well as the submission itself."""
    bundle, verdict = judged.bundle, judged.verdict
    count = sum(item.result == PASS for item in verdict.results)
    failed = ", ".join(item.id for item in verdict.failures)
    said = (
        f"{count} checks pass, none fails; level {verdict.level}" if verdict.valid else f"it does not verify: {failed}"
    )
    yield judged.item("evidence", "The evidence verifies", verdict.valid, said, reading.MANIFEST, reading.SUMS)
    files = (reading.MANIFEST, reading.SUMMARY)
    said = "no field is null, empty or a placeholder" if judged.passed(VALUES) else judged.left(VALUES)
    yield judged.item("values", "Every value is real", judged.passed(VALUES), said, *files)
    yield judged.item(
        "hardware-lines", "All lines about the hardware agree", judged.holds("hardware"), judged.said("hardware"),
        reading.MANIFEST, reading.LOG,
    )  # fmt: skip
    yield judged.item(
        "source", "The code is a commit's", judged.holds("source"), judged.said("source"), "source/commit.json"
    )
    replayed = judged.passed(REPLAYED)
    said = "a segment was trained again and agrees" if replayed else judged.left(REPLAYED)
    item = judged.item("replay", "A segment was trained again", replayed, said, reading.REPLAY)
    yield item if replayed else replace(item, evidence=(*item.evidence, "assay submission status --replay"))
    yield judged.item("signature", "It is signed by a known key", judged.holds("signature"), judged.said("signature"),
                      "attestations")  # fmt: skip
    told = bundle.rehearsal
    if told:
        proven = verdict.valid and judged.holds("rehearsal") and told.spec_sha256 == rehearsal.digest(asked)
        yield judged.item("rehearsal", "The way was rehearsed", proven, judged.said("rehearsal"), rehearsal.DOCUMENT)
    else:
        itself = not judged.unlike(asked)
        said = "this is the run itself" if itself else f"this is neither; it differs in {judged.unlike(asked)}"
        yield judged.item("rehearsal", "The way was rehearsed", verdict.valid and itself, said, reading.MANIFEST)


def _foretold(judged: _Judged, asked: RunSpec) -> Iterable[Item]:
    """Whether the TPU's compiler was asked for the submission's very step, on each topology, and what it said."""
    bundle = judged.bundle
    found: dict[str, tuple[str, Fits | DoesNotFit]] = {}
    names = [item.file.path for item in bundle.rehearsal.preflights] if bundle.rehearsal else []
    checks = dict.fromkeys(names, "RHS-02") | (
        {reading.PREFLIGHT: "PFL-01"} if reading.PREFLIGHT in bundle.files else {}
    )
    for name in checks:
        try:
            told: Report = typed.read(preflight.Report, bundle.document(name))
        except ValueError:
            continue
        if attempt := preflight_comparison.attempt_of(told, asked):
            found[told.target.name] = (name, attempt)
    for topology in TOPOLOGIES:
        title = f"The step fits {topology}, by its compiler"
        if topology not in found:
            ask = f"assay preflight {asked.name} --topology {topology}"
            yield Item(f"fits-{topology}", title, OPEN, "the compiler was not asked", (ask,))
            continue
        name, attempt = found[topology]
        fits = isinstance(attempt, Fits)
        peak = preflight_comparison.size(preflight_comparison.peak_bytes(attempt))
        limit = preflight_comparison.size(preflight_comparison.limit_bytes(attempt))
        said = f"{peak} of {limit} on each device" if fits else f"it does not fit into {limit}"
        where = f"submission_runs/{bundle.path.name}/{name}"
        held = judged.passed((checks[name],))
        said = said if held else judged.left((checks[name],))
        yield Item(f"fits-{topology}", title, PROVEN if fits and held else OPEN, said, (where,))


def _of_the_run(judged: _Judged, asked: RunSpec) -> Iterable[Item]:
    """What only the submission itself proves."""
    bundle = judged.bundle
    manifest, training = bundle.manifest, asked.training
    wanted = f"{parameter_count(asked.model):,}"
    unlike = judged.unlike(asked)
    itself = bundle.rehearsal is None and not unlike
    other = ", as a rehearsal" if bundle.rehearsal else f", as a run that differs in {unlike}" if unlike else ""
    said = f"{manifest.model.parameters:,} of {wanted} parameters, initial weights: {manifest.model.weights}{other}"
    yield judged.item("model", "Gemma 2B, from its published weights", itself and judged.holds("model"), said,
                      reading.MANIFEST)  # fmt: skip
    done = manifest.training
    full = done.steps_completed == training.steps
    title = f"{training.steps} steps of {training.batch_size} × {training.sequence_length} tokens"
    said = f"{done.steps_completed:,} steps of {done.global_batch_size} × {done.sequence_length} tokens{other}"
    yield judged.item("steps", title, itself and full and judged.holds("steps"), said, reading.METRICS)
    location = manifest.location
    if isinstance(location, Local):
        said, known = "a machine of its operator, so nobody else has a record of it", False
    else:
        said, known = judged.said("platform"), isinstance(location, Kaggle) and judged.passed(KAGGLES)
        said += "" if known else f"; {judged.left(KAGGLES)}"
    yield judged.item("platform", "Kaggle's own record says the same", itself and known, said, reading.MANIFEST)
    hardware = manifest.hardware
    right = hardware.platform == asked.device and len(hardware.devices) == DEVICES
    yield judged.item(
        "devices", f"On {DEVICES} {asked.device.upper()} devices",
        itself and right and judged.holds("hardware") and judged.passed(("HW-06",)),
        f"ran on {report.hardware(manifest)}", reading.MANIFEST, reading.LOG,
    )  # fmt: skip
    evaluated = isinstance(bundle.summary.evaluation, Performed) and bool(manifest.samples)
    said = f"{judged.said('evaluation')}{other}"
    yield judged.item(
        "evaluation", "Evaluated on held-out rows, with samples", itself and evaluated and judged.holds("evaluation"),
        said, reading.SUMMARY, reading.PREDICTIONS,
    )  # fmt: skip
