"""EVL: every item was answered once, and the score follows from the answers."""

from __future__ import annotations

from collections import Counter

from evidence import events, reading, scoring
from evidence.checks import audited
from evidence.checks.check import Family, Findings, NotRun, close, differs
from evidence.manifest import Completed, NotPerformed, Performed
from evidence.reading import PREDICTIONS, Bundle
from evidence.verdict import Finding

family = Family("evaluation")


def _performed(bundle: Bundle) -> Performed:
    evaluation = bundle.summary.evaluation
    if isinstance(evaluation, NotPerformed):
        raise NotRun(f"no evaluation: {evaluation.because}")
    return evaluation


@family.check("EVL-09", "an evaluation that took place is told", "E2")
def none_is_hidden(bundle: Bundle) -> Findings:
    done = [event for event in bundle.standing if isinstance(event, events.Evaluation) and event.step > 0]
    told = bundle.summary.evaluation
    if bool(done) != isinstance(told, Performed):
        held = f"one after step {done[-1].step}" if done else "none"
        yield Finding(reading.SUMMARY, "$.evaluation", f"the latest of the log: {held}", str(told.kind))
    elif isinstance(told, Performed):
        event = done[-1]
        for name, said, stated in (
            ("checkpoint_step", event.step, told.checkpoint_step),
            ("loss", event.loss, told.loss),
            ("items", event.items, told.items),
            ("correct", event.correct, told.correct),
            ("parameters_digest", event.parameters_digest, told.parameters_digest),
            ("evaluated_at", event.time, told.evaluated_at),
            ("predictions.sha256", event.predictions.sha256, told.predictions.sha256),
        ):
            yield from differs(reading.SUMMARY, f"$.evaluation.{name}", said, stated)
    elif isinstance(bundle.manifest.run.outcome, Completed):
        yield Finding(reading.SUMMARY, "$.evaluation", "a completed run's, which is done at its end", "none")


@family.check("EVL-01", "every held-out item was answered, once", "E2", about="evaluation")
def one_prediction_each(bundle: Bundle) -> Findings:
    evaluation = _performed(bundle)
    items, predictions = bundle.lines("eval/eval_set.jsonl"), bundle.lines(PREDICTIONS)
    yield from differs(PREDICTIONS, "ids", [item["id"] for item in items], [row["id"] for row in predictions])
    yield from differs(reading.SUMMARY, "$.evaluation.items", len(items), evaluation.items)
    for number, (item, row) in enumerate(zip(items, predictions, strict=False), 1):
        yield from differs(PREDICTIONS, f"line {number}: prompt", item["prompt"], row["prompt"])
        yield from differs(PREDICTIONS, f"line {number}: expected", item["answer"], row["expected"])


@family.check("EVL-02", "the score follows from the predictions", "E2", about="evaluation")
def score(bundle: Bundle) -> Findings:
    evaluation = _performed(bundle)
    delimiter = evaluation.scorer.answer_delimiter
    yield from differs(
        reading.SUMMARY,
        "$.evaluation.scorer.answer_delimiter",
        bundle.document("config/effective.json")["data"]["answer_delimiter"],
        delimiter,
    )
    asked = bundle.document("config/effective.json")["evaluation"]["max_new_tokens"]
    where = "$.evaluation.decoding.max_new_tokens"
    yield from differs(reading.SUMMARY, where, asked, evaluation.decoding.max_new_tokens)
    correct = 0
    for number, row in enumerate(bundle.lines(PREDICTIONS), 1):
        right = scoring.is_correct(row["expected"], row["text"], delimiter)
        correct += right
        yield from differs(PREDICTIONS, f"line {number}: correct", right, row["correct"])
    yield from differs(reading.SUMMARY, "$.evaluation.correct", correct, evaluation.correct)
    yield from differs(reading.SUMMARY, "number of metrics", 1, len(evaluation.metrics))
    for metric in evaluation.metrics:
        yield from differs(reading.SUMMARY, "$.evaluation.metrics[0].value", correct / evaluation.items, metric.value)
        yield from differs(reading.SUMMARY, "$.evaluation.metrics[0].n", evaluation.items, metric.n)
        interval = scoring.wilson_interval(correct, evaluation.items)
        if len(metric.ci95) != 2 or not all(close(a, b, 1e-9) for a, b in zip(interval, metric.ci95, strict=True)):
            yield Finding(reading.SUMMARY, "$.evaluation.metrics[0].ci95", str(list(interval)), str(metric.ci95))


@family.check("EVL-03", "the evaluated weights are the trained ones", "E2", about="evaluation")
def right_weights(bundle: Bundle) -> Findings:
    evaluation = _performed(bundle)
    digests = {item.step: item.parameters_digest for item in bundle.manifest.checkpoints}
    last = bundle.rows[-1].step
    # A run that was cut short has its latest one (EVL-09); its sentence says after which step.
    if evaluation.checkpoint_step != last and isinstance(bundle.manifest.run.outcome, Completed):
        yield Finding(reading.SUMMARY, "$.evaluation.checkpoint_step", str(last), str(evaluation.checkpoint_step))
    if evaluation.checkpoint_step in digests:
        yield from differs(
            reading.SUMMARY,
            "$.evaluation.parameters_digest",
            digests[evaluation.checkpoint_step],
            evaluation.parameters_digest,
        )


@family.check("EVL-04", "the answers are not degenerate", "E2", warns=True, about="evaluation")
def not_degenerate(bundle: Bundle) -> Findings:
    _performed(bundle)
    texts = Counter(row["text"] for row in bundle.lines(PREDICTIONS))
    text, times = texts.most_common(1)[0]
    if times > max(2, texts.total() // 2):
        yield Finding(PREDICTIONS, "text", "different answers to different prompts", f"{text[:40]!r} {times} times")


@family.check("EVL-05", "no error was scored as an answer", "E2", about="evaluation")
def errors_not_scored(bundle: Bundle) -> Findings:
    _performed(bundle)
    for number, row in enumerate(bundle.lines(PREDICTIONS), 1):
        if row["text"].startswith("[ERROR") and row["correct"]:
            yield Finding(PREDICTIONS, f"line {number}", "an error that is not counted as correct", row["text"][:80])


@family.check("EVL-08", "the answers' texts are those of their token ids", "E3", cost="audit")
def texts_of_ids(bundle: Bundle) -> Findings:
    found = audited.audit(bundle)
    because = audited.excuse(bundle, "decoding", *audited.tokenizer_packages(bundle))
    there = [(name, part) for name, part in ((PREDICTIONS, found.predictions), (reading.SAMPLES, found.samples))
             if name in bundle.files]  # fmt: skip
    if not there:
        raise NotRun("nothing was generated in this run")
    for name, part in there:
        for number, (row, text) in enumerate(zip(bundle.lines(name), audited.seen(part).lines, strict=True), 1):
            yield from audited.recomputed(name, f"line {number}: text", text, row["text"], because)
