"""SCH: the documents follow their schema, hold no placeholder, and tell of one run."""

from __future__ import annotations

import math

from evidence import canonical, events, reading, typed
from evidence.checks.check import Family, Findings, NotRun, differs, texts
from evidence.manifest import EarlyManifest, EarlySummary, EvalSummary, Performed, RunManifest
from evidence.reading import Bundle
from evidence.rehearsal import DOCUMENT, Rehearsal
from evidence.verdict import Finding

family = Family("schema")


@family.check("SCH-01", "the manifest follows its schema: no null, no extra, the right branch", "E0", about="any")
def manifest(bundle: Bundle) -> Findings:
    yield from _follows(bundle, EarlyManifest if bundle.early else RunManifest, reading.MANIFEST)


@family.check("SCH-02", "the evaluation summary follows its schema", "E0", about="any")
def summary(bundle: Bundle) -> Findings:
    yield from _follows(bundle, EarlySummary if bundle.early else EvalSummary, reading.SUMMARY)


@family.check("SCH-07", "what is said of the rehearsal follows its schema", "E0", about="rehearsal")
def rehearsed(bundle: Bundle) -> Findings:
    yield from _follows(bundle, Rehearsal, DOCUMENT)
    for where, text in texts(bundle.document(DOCUMENT), "$"):
        if not where.startswith("$.differences") and (found := typed.PLACEHOLDER.search(text)):
            yield Finding(DOCUMENT, where, "a value", found.group())


@family.check("SCH-03", "no placeholder stands where a value should", "E0", about="any")
def placeholders(bundle: Bundle) -> Findings:
    for name in (reading.MANIFEST, reading.SUMMARY, "environment/env.json"):
        for where, text in texts(bundle.document(name), "$"):
            if where == "$.program.plan.remat" or where.startswith(("$.run.outcome", "$.location.command")):
                continue  # a choice of which one is called none (PRV-16); an error's own words (MET-09), a command's
            if found := typed.PLACEHOLDER.search(text):
                yield Finding(name, where, "a value", found.group())


@family.check("SCH-04", "all files tell of one run", "E2", about="any")
def one_identity(bundle: Bundle) -> Findings:
    run, config = bundle.told.run, bundle.told.config
    yield from differs(reading.SUMMARY, "$.run_id", run.run_id, bundle.summed_up.run_id)
    yield from differs(reading.SUMMARY, "$.run_name", run.name, bundle.summed_up.run_name)
    effective = canonical.digest(bundle.document("config/effective.json"))
    yield from differs("config/effective.json", "canonical sha256", config.effective_sha256, effective)
    for start in bundle.all_events:
        if isinstance(start, events.RunStart):
            yield from differs(reading.EVENTS, "run_start.run_id", run.run_id, start.run_id)
            yield from differs(reading.EVENTS, "run_start.nonce", run.nonce, start.nonce)
            yield from differs(reading.EVENTS, "run_start.spec_sha256", config.effective_sha256, start.spec_sha256)
    if bundle.early:
        return
    manifest, summary = bundle.manifest, bundle.summary
    yield from differs(
        reading.SUMMARY, "$.evaluated_on.host_sha256", manifest.location.host_sha256, summary.evaluated_on.host_sha256
    )
    yield from differs(
        reading.SUMMARY, "$.evaluated_on.device_kind", manifest.hardware.device_kind, summary.evaluated_on.device_kind
    )


@family.check("SCH-05", "numbers are in their domain", "E2")
def domain(bundle: Bundle) -> Findings:
    for row in bundle.rows:
        for name in ("loss", "grad_norm", "param_norm", "learning_rate", "step_seconds", "epoch"):
            value = getattr(row, name)
            if not math.isfinite(value) or value < 0:
                yield Finding(reading.METRICS, f"step {row.step}: {name}", "a finite number of at least 0", str(value))
    training = bundle.manifest.training
    if training.steps_completed > training.steps_planned:
        yield Finding(
            reading.MANIFEST,
            "$.training.steps_completed",
            f"at most {training.steps_planned}",
            str(training.steps_completed),
        )
    if training.supervised_tokens > training.tokens:
        yield Finding(
            reading.MANIFEST,
            "$.training.supervised_tokens",
            f"at most {training.tokens}",
            str(training.supervised_tokens),
        )
    evaluation = bundle.summary.evaluation
    if isinstance(evaluation, Performed) and evaluation.correct > evaluation.items:
        yield Finding(reading.SUMMARY, "$.evaluation.correct", f"at most {evaluation.items}", str(evaluation.correct))


@family.check("SCH-06", "each attempt has one header, and the last one an end", "E2")
def header_once(bundle: Bundle) -> Findings:
    once = (events.RunStart, events.Devices, events.Data, events.Program, events.Source, events.Finished)
    for number, said in enumerate(bundle.attempts, 1):
        kinds = [event.kind for event in said]
        for cls in once:
            found = kinds.count(cls.kind)
            silent = cls is events.Finished and bundle.silent
            if found > 1 or (number == len(bundle.attempts) and not found and not silent):
                yield from differs(reading.EVENTS, f"{cls.kind} events of attempt {number}", 1, found)
        yield from differs(reading.EVENTS, f"resumed events of attempt {number}", number > 1, kinds.count("resumed"))
    yield from differs(
        reading.EVENTS, "model events", 1, sum(isinstance(event, events.Model) for event in bundle.all_events)
    )


def _follows(bundle: Bundle, cls: type, name: str) -> Findings:
    if name not in bundle.files:
        raise NotRun(f"{name} is missing (STR-01)")
    try:
        typed.read(cls, bundle.document(name))
    except typed.WrongDocument as error:
        for problem in error.problems:
            yield Finding(name, problem.where, problem.expected, problem.found)
