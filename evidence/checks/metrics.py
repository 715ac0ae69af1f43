"""MET: the rows are whole, untouched, bound to this run, and the log carries the same."""

from __future__ import annotations

import json
import re
import signal
import statistics

from evidence import attempts, events, reading
from evidence.checks import audited
from evidence.checks.check import Family, Findings, NotRun, close, differs
from evidence.events import said_last
from evidence.manifest import FINAL_LOSS, MEAN_LOSS, Completed, Failed, GitSource, Lost, Quoted, Stopped
from evidence.reading import Bundle
from evidence.schedule import learning_rate
from evidence.spec import SpecError, parse
from evidence.status import KILLED_ON_REQUEST, STOPPED_UNHEARD, error_in, stopped_after, untold_error
from evidence.verdict import Finding

family = Family("metrics")

HUMAN_LINE = re.compile(r"step (\d+)/(\d+) loss (-?[\d.]+) ")
EVALUATED_LINE = re.compile(r"evaluated after step (\d+):")
LAST_WORD = re.compile(r"(completed|stopped) after step \d+$")
TROUBLE = re.compile(r"^(Traceback \(most recent call last\)|[\w.]*Error: |RESOURCE_EXHAUSTED)")


@family.check("MET-01", "one row for each step, none missing, none twice", "E2")
def contiguous(bundle: Bundle) -> Findings:
    for expected, row in enumerate(bundle.rows, 1):
        if row.step != expected:
            yield Finding(reading.METRICS, f"line {expected}: step", str(expected), str(row.step))
            return
    manifest, last = bundle.manifest, bundle.rows[-1].step
    yield from differs(reading.MANIFEST, "$.metrics.rows", len(bundle.rows), manifest.metrics.rows)
    yield from differs(reading.MANIFEST, "$.metrics.last_step", last, manifest.metrics.last_step)
    yield from differs(reading.MANIFEST, "$.training.steps_completed", last, manifest.training.steps_completed)
    planned = manifest.training.steps_planned
    if isinstance(manifest.run.outcome, Completed):
        yield from differs(reading.METRICS, "rows of a completed run", planned, last)
    elif isinstance(manifest.run.outcome, Stopped) and last == planned:
        yield Finding(
            reading.METRICS, "rows of a stopped run", f"fewer than {planned}, which is all of them", str(last)
        )


@family.check("MET-02", "no row was touched, and the rows belong to this run", "E2")
def chain(bundle: Bundle) -> Findings:
    manifest = bundle.manifest
    # RES-02 holds the later attempts to the same data and program.
    told: events.Data = bundle.event(events.Data)
    program: events.Program = bundle.event(events.Program)
    genesis = events.genesis(
        {
            "nonce": manifest.run.nonce,
            "commit": manifest.source.commit if isinstance(manifest.source, GitSource) else "none",
            "spec_sha256": manifest.config.effective_sha256,
            "data_sha256": events.data_digest(told.train.sha256, told.eval.sha256),
            "tokenizer_sha256": told.tokenizer_sha256,
            "program_sha256": program.program_sha256,
        }
    )
    yield from differs(reading.MANIFEST, "$.metrics.genesis", genesis, manifest.metrics.genesis)
    yield from differs(reading.MANIFEST, "$.program.sha256", program.program_sha256, manifest.program.sha256)
    previous = genesis
    for number, row in enumerate(bundle.lines(reading.METRICS), 1):
        if row["prev"] != previous or row["hash"] != events.link(row):
            broken = "prev" if row["prev"] != previous else "hash"
            wanted = previous if broken == "prev" else events.link(row)
            yield Finding(reading.METRICS, f"line {number}: {broken}", wanted, row[broken])
            return
        previous = row["hash"]
    yield from differs(reading.MANIFEST, "$.metrics.head", previous, manifest.metrics.head)


@family.check("MET-03", "the headline numbers are those of the rows", "E2")
def headlines(bundle: Bundle) -> Findings:
    rows, stated, timing = bundle.rows, bundle.summary.training_result, bundle.manifest.timing
    losses = [row.loss for row in rows]
    lowest = min(rows, key=lambda row: row.loss)
    where = "$.training_result"
    yield from differs(reading.SUMMARY, f"{where}.final_loss.value ({FINAL_LOSS})", losses[-1], stated.final_loss.value)
    yield from differs(reading.SUMMARY, f"{where}.final_loss.step", rows[-1].step, stated.final_loss.step)
    yield from differs(reading.SUMMARY, f"{where}.final_loss.row_sha256", rows[-1].hash, stated.final_loss.row_sha256)
    yield from differs(
        reading.SUMMARY, f"{where}.mean_loss.value ({MEAN_LOSS})", statistics.fmean(losses), stated.mean_loss.value
    )
    yield from differs(reading.SUMMARY, f"{where}.mean_loss.steps", len(rows), stated.mean_loss.steps)
    yield from differs(reading.SUMMARY, f"{where}.first_loss.value", losses[0], stated.first_loss.value)
    yield from differs(reading.SUMMARY, f"{where}.first_loss.step", 1, stated.first_loss.step)
    yield from differs(reading.SUMMARY, f"{where}.lowest_loss.value", lowest.loss, stated.lowest_loss.value)
    yield from differs(reading.SUMMARY, f"{where}.lowest_loss.step", lowest.step, stated.lowest_loss.step)
    median = statistics.median(row.step_seconds for row in rows)
    yield from differs(reading.MANIFEST, "$.timing.median_step_seconds", median, timing.median_step_seconds)


@family.check("MET-04", "the log carries the same rows and events, in order", "E2", about="any")
def log_carries_rows(bundle: Bundle) -> Findings:
    spoken = [(line, event) for _, line, event in bundle.spoken]
    if bundle.early:
        yield from _log_of_no_rows(bundle, spoken)
        return
    rows_and_samples = (events.Step, events.Sample)
    others = [line for line, event in spoken if not isinstance(event, rows_and_samples)]
    stands = attempts.standing(spoken)
    for name, said in (
        (reading.METRICS, [line for line, event in stands if isinstance(event, events.Step)]),
        (reading.SAMPLES, [line for line, event in stands if isinstance(event, events.Sample)]),
        (reading.EVENTS, others),
    ):
        if name == reading.SAMPLES and name not in bundle.files and not said:
            continue
        kept = bundle.text(name).split("\n")[:-1]
        if name == reading.EVENTS:
            kept = _without_unheard(kept, said, bundle.silent)
        elif bundle.silent and len(kept) == len(said) + 1:
            kept = kept[:-1]  # it was killed between writing it down and repeating it
        for number, (left, right) in enumerate(zip(kept, said, strict=False), 1):
            if left != right:
                yield Finding(reading.LOG, f"line {number} of {name} behind {events.LOG_MARK.strip()}", left, right)
                return
        yield from differs(reading.LOG, f"lines of {name} behind {events.LOG_MARK.strip()}", len(kept), len(said))


def _log_of_no_rows(bundle: Bundle, spoken: list[tuple[str, events.Event]]) -> Findings:
    """A run that ended before its first row: its log has what its event log has, and no row that stands."""
    kept = bundle.text(reading.EVENTS).split("\n")[:-1] if reading.EVENTS in bundle.files else []
    said = [line for line, _ in spoken]
    heard = kept[:-1] if bundle.silent and len(kept) == len(said) + 1 else kept
    for number, (left, right) in enumerate(zip(heard, said, strict=False), 1):
        if left != right:
            yield Finding(reading.LOG, f"line {number} behind {events.LOG_MARK.strip()}", left, right)
            return
    yield from differs(reading.LOG, f"lines behind {events.LOG_MARK.strip()}", len(heard), len(said))
    standing = [event for event in bundle.standing if isinstance(event, events.Step)]
    if standing:
        yield Finding(
            reading.EVENTS, "step", "none that stands, in a run that ended before its first", str(len(standing))
        )
    if kept and not isinstance(bundle.all_events[0], events.RunStart):
        yield Finding(reading.EVENTS, "first event", "run_start", bundle.all_events[0].kind)


@family.check("MET-05", "the lines for people say what the rows say", "E2")
def human_lines(bundle: Bundle) -> Findings:
    rows = {row.step: row for row in bundle.rows}
    planned = bundle.manifest.training.steps_planned
    seen = set()
    taken_back = [(number, event.step) for number, _, event in bundle.spoken if isinstance(event, events.Resumed)]
    for number, line in enumerate(bundle.log_lines, 1):
        if not (match := HUMAN_LINE.match(line)):
            continue
        step, of, loss = int(match[1]), int(match[2]), match[3]
        if any(number < later and step > begun for later, begun in taken_back):
            continue  # done again; RES-04 compares what both said
        seen.add(step)
        yield from differs(reading.LOG, f"line {number}: steps planned", planned, of)
        yield from differs(
            reading.LOG, f"line {number}: loss", f"{rows[step].loss:.4f}" if step in rows else "no such step", loss
        )
    unheard = {bundle.rows[-1].step} if bundle.silent else set()
    if missing := sorted(set(rows) - seen - unheard):
        yield Finding(reading.LOG, "", f"a line for step {missing[0]}", "nothing")
    evaluated = {event.step for event in bundle.all_events if isinstance(event, events.Evaluation)}
    for number, line in enumerate(bundle.log_lines, 1):
        if (match := EVALUATED_LINE.match(line)) and int(match[1]) not in evaluated:
            yield Finding(reading.LOG, f"line {number}", f"an evaluation that {reading.EVENTS} has", line)
    last = bundle.log_lines[-1] if bundle.log_lines else ""
    if bundle.silent and (match := LAST_WORD.match(last)):
        yield Finding(reading.LOG, "last line", "no last word of a run that ended without one", last)


@family.check("MET-06", "the learning rate follows the schedule, and the norms are real", "E2")
def schedule(bundle: Bundle) -> Findings:
    try:
        spec = parse(bundle.document("config/effective.json"))
    except SpecError as error:
        raise NotRun(f"config/effective.json cannot be read (PRV-04): {error}") from None
    for row in bundle.rows:
        expected = learning_rate(spec.optimizer, spec.training.steps, row.step)
        if not close(expected, row.learning_rate, 1e-6):  # the optimizer computes in float32
            yield Finding(reading.METRICS, f"step {row.step}: learning_rate", repr(expected), repr(row.learning_rate))
        if row.param_norm <= 0:
            yield Finding(reading.METRICS, f"step {row.step}: param_norm", "more than 0", str(row.param_norm))
    if not any(row.grad_norm > 0 for row in bundle.rows):  # a step without a gradient happens, a run of them does not
        yield Finding(reading.METRICS, "grad_norm", "more than 0 in some step", "0 in all of them")


@family.check("MET-07", "the counters count", "E2")
def counters(bundle: Bundle) -> Findings:
    training, data = bundle.manifest.training, bundle.manifest.data
    for row in bundle.rows:
        examples = row.step * training.global_batch_size
        yield from differs(reading.METRICS, f"step {row.step}: examples", examples, row.examples)
        yield from differs(reading.METRICS, f"step {row.step}: tokens", examples * training.sequence_length, row.tokens)
        epoch = examples / data.train_sequences
        if not close(epoch, row.epoch, 1e-9):
            yield Finding(reading.METRICS, f"step {row.step}: epoch", str(epoch), str(row.epoch))
    last = bundle.rows[-1]
    for name in ("examples", "tokens", "supervised_tokens"):
        yield from differs(reading.MANIFEST, f"$.training.{name}", getattr(last, name), getattr(training, name))


@family.check("MET-08", "every step saw the batch that data, tokenizer and seed give", "E3", cost="audit")
def batches(bundle: Bundle) -> Findings:
    found = audited.seen(audited.audit(bundle).batches)
    because = audited.excuse(bundle, "batches", *audited.tokenizer_packages(bundle))
    data = bundle.manifest.data
    yield from audited.recomputed("data/train.jsonl", "rows with nothing to train on", 0, found.unused, because)
    yield from audited.recomputed(
        reading.MANIFEST, "$.data.train_sequences", found.sequences, data.train_sequences, because
    )
    yield from differs(reading.METRICS, "rows", len(found.sha256), len(bundle.rows))
    supervised = 0
    for row, digest, of_step in zip(bundle.rows, found.sha256, found.supervised, strict=False):
        supervised += of_step
        for name, expected in (
            ("batch_sha256", digest),
            ("supervised_tokens", supervised),
            ("tokens", row.step * found.tokens),
        ):
            where = f"step {row.step}: {name}"
            yield from audited.recomputed(reading.METRICS, where, expected, getattr(row, name), because)


@family.check("MET-09", "the log tells of a whole run that ended as stated", "E2", about="any")
def whole_run(bundle: Bundle) -> Findings:
    outcome = bundle.told.run.outcome
    order = [event.kind for event in bundle.attempts[-1]] if bundle.attempts else []
    last_word = [] if bundle.silent else ["finished"]
    wanted = ["run_start", "devices", "data", "model", "program", *last_word]
    places = [order.index(kind) for kind in wanted if kind in order]
    if order and (places != sorted(places) or order[:1] != ["run_start"] or order[-1:] != (last_word or order[-1:])):
        yield Finding(reading.EVENTS, "order of events", ", ".join(wanted), ", ".join(order))
    if not bundle.silent:
        finished: events.Finished = bundle.event(events.Finished)
        if isinstance(outcome, Lost):  # nobody saw it end: what its log says last is quoted, and proves no outcome
            last = said_last(finished)
            if last not in outcome.because:
                yield Finding(
                    reading.MANIFEST, "$.run.outcome.because", f"that its log ends with {last}", outcome.because
                )
        elif not (isinstance(outcome, Failed) and finished.outcome == "completed"):  # it may fail after its last word
            yield from differs(reading.EVENTS, "finished.outcome", outcome.kind, finished.outcome)
        yield from differs(reading.EVENTS, "finished.step", 0 if bundle.early else bundle.rows[-1].step, finished.step)
    if isinstance(outcome, Stopped):
        because = STOPPED_UNHEARD if bundle.silent else stopped_after(bundle.event(events.Finished).step)
        if bundle.silent and outcome.exit_code == -signal.SIGKILL and outcome.because == KILLED_ON_REQUEST:
            because = KILLED_ON_REQUEST
        yield from differs(reading.MANIFEST, "$.run.outcome.because", because, outcome.because)
    if isinstance(outcome, Failed):
        yield from _error_is_said(bundle, outcome)
    if isinstance(outcome, Failed | Lost):
        return
    began = max((number for number, _, event in bundle.spoken if isinstance(event, events.RunStart)), default=1)
    for number, line in enumerate(bundle.log_lines, 1):
        if number > began and TROUBLE.match(line):
            yield Finding(reading.LOG, f"line {number}", f"no error in a {outcome.kind} run", line)


def _error_is_said(bundle: Bundle, outcome: Failed) -> Findings:
    """What failed follows from the log: the last word, the line that says it, or else how the process ended."""
    where = "$.run.outcome"
    finished = None if bundle.silent else bundle.event(events.Finished)
    if outcome.exit_code == 0:
        yield Finding(reading.MANIFEST, f"{where}.exit_code", "not 0, of a run that failed", "0")
    if finished and finished.outcome == "failed":
        first_line = finished.error_message.split("\n")[0].strip()
        kind, message = finished.error_type, " ".join(finished.error_message.split())
        yield from differs(reading.MANIFEST, f"{where}.stage", finished.stage, outcome.stage)
        yield from differs(reading.MANIFEST, f"{where}.error_type", kind, outcome.error_type)
        yield from differs(reading.MANIFEST, f"{where}.error_message", message, outcome.error_message)
    elif isinstance(outcome.said, Quoted):
        kind, first_line = error_in(outcome.said.text)
        yield from differs(reading.MANIFEST, f"{where}.error_type", kind, outcome.error_type)
        if first_line:
            yield from differs(
                reading.MANIFEST, f"{where}.error_message", " ".join(first_line.split()), outcome.error_message
            )
    else:
        kind, first_line = "", outcome.error_message
        yield from differs(reading.MANIFEST, f"{where}.error_type", untold_error(outcome.exit_code), outcome.error_type)
    quoted = reading.quote(bundle.text(reading.LOG), first_line or kind)
    if isinstance(outcome.said, Quoted):
        yield from differs(reading.MANIFEST, f"{where}.said", quoted, (outcome.said.line, outcome.said.text))
    elif quoted and finished and finished.outcome == "failed":
        yield Finding(reading.MANIFEST, f"{where}.said", f"line {quoted[0]} of the log: {quoted[1]}", "nothing")


@family.check("MET-11", "nothing stands outside the run", "E2")
def nothing_outside(bundle: Bundle) -> Findings:
    spoken = [
        _kind(line.removeprefix(events.LOG_MARK)) for line in bundle.log_lines if line.startswith(events.LOG_MARK)
    ]
    if spoken[:1] != ["run_start"]:
        yield Finding(reading.LOG, "first event", "run_start", ", ".join(spoken[:1]) or "nothing")
    if spoken[-1:] != ["finished"] and not bundle.silent:
        yield Finding(reading.LOG, "last event", "finished", ", ".join(spoken[-1:]) or "nothing")


def _without_unheard(kept: list[str], said: list[str], silent: bool) -> list[str]:
    """``kept`` without the last event of an attempt that was killed between writing it down and repeating it.

    One that had said its last word (finished) was not. ``silent``: the last attempt was killed, too.
    """
    heard, found, finished = set(said), [], False
    for line, after in zip(kept, [*kept[1:], ""], strict=True):
        kind = _kind(line)
        finished = (finished or kind == events.Finished.kind) and kind != events.RunStart.kind
        cut_off = _kind(after) == events.RunStart.kind or (silent and not after)
        if line in heard or finished or not cut_off:
            found.append(line)
    return found


def _kind(line: str) -> str:
    try:
        return str(json.loads(line)["kind"])
    except (ValueError, KeyError, TypeError):
        return "unreadable"
