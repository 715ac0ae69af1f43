"""RHS: a rehearsal says what it rehearses, in what it differs from that, and what is known of it."""

from __future__ import annotations

from evidence import canonical, config_file, provenance, rehearsal, typed
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.checks.preflight import coherent
from evidence.checks.provenance import PROOF, blobs
from evidence.preflight import Report
from evidence.reading import Bundle
from evidence.rehearsal import Rehearsal
from evidence.spec import RunSpec, SpecError, parse
from evidence.verdict import Finding

family = Family("rehearsal")


@family.check(
    "RHS-01", "the rehearsed config gives the spec that is named, and differs as it says", "E2", about="rehearsal"
)
def of_that_config(bundle: Bundle) -> Findings:
    told, submission = _told(bundle)
    yield from differs(rehearsal.DOCUMENT, "$.declared.path", rehearsal.DECLARED, told.declared.path)
    yield from differs(rehearsal.DOCUMENT, "$.document.path", rehearsal.DECLARED_JSON, told.document.path)
    yield from differs(rehearsal.DOCUMENT, "$.spec_sha256", rehearsal.digest(submission), told.spec_sha256)
    try:
        found = rehearsal.differences(submission, parse(bundle.document("config/effective.json")))
    except SpecError as error:
        raise NotRun(f"config/effective.json cannot be read (PRV-04): {error}") from None
    yield from differs(rehearsal.DOCUMENT, "$.differences", found, told.differences)


@family.check(
    "RHS-02", "what is foretold of the submission stands in reports about its very step", "E2", about="rehearsal"
)
def foretold(bundle: Bundle) -> Findings:
    told, submission = _told(bundle)
    for number, item in enumerate(told.preflights):
        name, where = item.file.path, f"$.preflights[{number}]"
        try:
            document = bundle.document(name)
            yield from coherent(typed.read(Report, document), name)
            found = rehearsal.foretold(item.file, document, submission)
        except ValueError as error:
            yield Finding(name, "", "a report about the submission's step", str(error))
            continue
        yield from differs(rehearsal.DOCUMENT, where, found, item)


@family.check("RHS-03", "a rehearsal did not run where the submission is to run", "E2", about="rehearsal")
def elsewhere(bundle: Bundle) -> Findings:
    _, submission = _told(bundle)
    if submission.device == "auto":
        yield Finding(rehearsal.DECLARED_JSON, "$.device", "a kind of device that is asked for", "auto")
    if bundle.manifest.hardware.platform == submission.device:
        yield Finding(rehearsal.DOCUMENT, "", f"no rehearsal, since this ran on a {submission.device}", "one")


@family.check("RHS-04", "the rehearsed config is the committed one", "E2", warns=True, about="rehearsal")
def committed(bundle: Bundle) -> Findings:
    told, _ = _told(bundle)
    if PROOF not in bundle.files:
        raise NotRun("the run knows no commit")
    committed = blobs(bundle).get(told.config)
    found = provenance.blob_id(bundle.bytes(rehearsal.DECLARED))
    if committed != found:
        yield Finding(rehearsal.DECLARED, "git blob", committed or f"{told.config} of the commit", found)


@family.check("RHS-05", "the rehearsed config's JSON is its YAML", "E3", about="rehearsal")
def declared_document(bundle: Bundle) -> Findings:
    try:
        document = config_file.loads(bundle.text(rehearsal.DECLARED), rehearsal.DECLARED)
    except ImportError:
        raise NotRun("PyYAML is not installed: pip install pyyaml") from None
    except SpecError as error:
        yield Finding(rehearsal.DECLARED, "", "a config", str(error))
        return
    found = canonical.digest(bundle.document(rehearsal.DECLARED_JSON))
    yield from differs(rehearsal.DECLARED_JSON, "canonical sha256", canonical.digest(document), found)


def _told(bundle: Bundle) -> tuple[Rehearsal, RunSpec]:
    """What the bundle says of its rehearsal, and the submission's spec."""
    told = bundle.rehearsal
    if told is None:
        raise NotRun(f"{rehearsal.DOCUMENT} is missing (SCH-07)")
    try:
        return told, rehearsal.submission(bundle.document(rehearsal.DECLARED_JSON))
    except SpecError as error:
        raise NotRun(f"{rehearsal.DECLARED_JSON} is no config: {error}") from None
