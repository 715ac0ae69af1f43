"""PFL: what was said before the run was said of this run."""

from __future__ import annotations

from evidence import preflight_comparison, reading, typed
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.manifest import NotPreflighted
from evidence.preflight import Report
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
