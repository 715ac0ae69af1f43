"""PFL: what was said before the run was said of this run."""

from __future__ import annotations

from evidence import preflight_comparison, reading, typed
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.events import instant
from evidence.hardware import TOPOLOGIES
from evidence.manifest import NotPreflighted
from evidence.preflight import Refused, Report
from evidence.reading import Bundle
from evidence.spec import SpecError, parse
from evidence.verdict import Finding

family = Family("preflight")


@family.check("PFL-01", "the preflight, if there was one, is of this run's step and says what the manifest says", "E2")
def of_this_step(bundle: Bundle) -> Findings:
    stated = bundle.manifest.preflight
    if isinstance(stated, NotPreflighted):
        if reading.PREFLIGHT in bundle.files:
            yield Finding(reading.MANIFEST, "$.preflight.kind", "preflighted, since the report is here", stated.kind)
        return
    yield from differs(reading.MANIFEST, "$.preflight.file.path", reading.PREFLIGHT, stated.file.path)
    try:
        report: Report = typed.read(Report, bundle.document(reading.PREFLIGHT))
        spec = parse(bundle.document("config/effective.json"))
    except typed.WrongDocument as error:
        for problem in error.problems:
            yield Finding(reading.PREFLIGHT, problem.where, problem.expected, problem.found)
        return
    except SpecError as error:
        raise NotRun(f"config/effective.json cannot be read (PRV-04): {error}") from None
    yield from coherent(report, reading.PREFLIGHT)
    if instant(report.created_at) > instant(bundle.manifest.run.created_at):
        asked = bundle.manifest.run.created_at
        yield Finding(reading.PREFLIGHT, "$.created_at", f"before the run was asked for ({asked})", report.created_at)
    attempt = preflight_comparison.attempt_of(report, spec)
    if attempt is None:
        yield Finding(reading.PREFLIGHT, "$.program", "the step of config/effective.json, compiled", "another step")
        return
    yield from differs(reading.MANIFEST, "$.preflight.topology", report.target.name, stated.topology)
    yield from differs(reading.MANIFEST, "$.preflight.fits", attempt.kind == "fits", stated.fits)
    peak = preflight_comparison.peak_bytes(attempt)
    yield from differs(reading.MANIFEST, "$.preflight.peak_bytes", peak, stated.peak_bytes)
    limit = preflight_comparison.limit_bytes(attempt)
    if stated.fits and peak > limit:
        yield Finding(reading.PREFLIGHT, "$.plans", f"a peak of at most {limit:,} bytes where it fits", f"{peak:,}")


def coherent(report: Report, file: str) -> Findings:
    """A report says one thing: its verdict is its chosen plan's, its limits are its target's, its target is a TPU."""
    if report.chosen >= len(report.plans):
        yield Finding(file, "$.chosen", f"a place among {len(report.plans)} plans", str(report.chosen))
        return
    yield from differs(file, "$.fits", report.plans[report.chosen].kind == "fits", report.fits)
    for number, plan in enumerate(report.plans):
        if not isinstance(plan, Refused):
            limit = preflight_comparison.limit_bytes(plan)
            yield from differs(file, f"$.plans[{number}] (limit)", report.target.memory_bytes, limit)
            peak = preflight_comparison.peak_bytes(plan)
            if plan.kind == "fits" and peak > limit:
                yield Finding(file, f"$.plans[{number}]", f"at most {limit:,} bytes where it fits", f"{peak:,}")
    known = TOPOLOGIES.get(report.target.name)
    if known is None:
        yield Finding(file, "$.target.name", "a topology that is known", report.target.name)
        return
    yield from differs(file, "$.target.device_kind", known.device_kind, report.target.device_kind)
    yield from differs(file, "$.target.devices", known.devices, report.target.devices)
