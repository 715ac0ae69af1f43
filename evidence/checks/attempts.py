"""RES: a run that was resumed is one run: each attempt goes on where the state was saved, in the same way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from evidence import attempts, events, reading
from evidence.checks.check import Family, Findings, close, differs
from evidence.reading import Bundle
from evidence.verdict import Finding

family = Family("attempts")


@family.check("RES-01", "the attempts are those that the log tells of", "E2")
def those_of_the_log(bundle: Bundle) -> Findings:
    said = [event for _, _, event in bundle.spoken]
    parts = attempts.split(said, (isinstance(event, events.RunStart) for event in said))
    stated = bundle.manifest.attempts
    yield from differs(reading.MANIFEST, "number of $.attempts", len(parts), len(stated))
    for number, (part, item) in enumerate(zip(parts, stated, strict=False)):
        unheard = bundle.silent and number == len(stated) - 1
        for name, value in asdict(attempts.facts(part)).items():
            if unheard and name == "last_step" and item.last_step == value + 1:
                continue  # it was killed between writing the row down and repeating it
            yield from differs(reading.MANIFEST, f"$.attempts[{number}].{name}", value, getattr(item, name))


@family.check("RES-02", "every attempt ran the same code on the same data in the same way", "E2")
def the_same_way(bundle: Bundle) -> Findings:
    for number, item in enumerate(bundle.manifest.attempts):
        yield from differs(reading.MANIFEST, f"$.attempts[{number}].code", bundle.manifest.attempts[0].code, item.code)
    known: dict[str, Any] = {}
    for number, said in enumerate(bundle.attempts, 1):
        for name, value in _way(said):
            yield from differs(reading.EVENTS, f"{name} of attempt {number}", known.setdefault(name, value), value)


@family.check("RES-03", "each attempt goes on from a state that was saved before it", "E2")
def from_a_saved_state(bundle: Bundle) -> Findings:
    heads = {0: bundle.manifest.metrics.genesis, **{row.step: row.hash for row in bundle.rows}}
    saved: dict[int, events.Checkpoint] = {}
    for number, said in enumerate(bundle.attempts, 1):
        for event in said:
            if isinstance(event, events.Checkpoint):
                saved[event.step] = event
            if not isinstance(event, events.Resumed):
                continue
            place = f"resumed event of attempt {number}"
            yield from differs(reading.EVENTS, f"{place}: attempt", number, event.attempt)
            state = saved.get(event.step)
            if state is None:
                yield Finding(reading.EVENTS, place, "a state saved before", f"none of step {event.step}")
            else:
                yield from differs(reading.EVENTS, f"{place}: chain", state.chain_at_step, event.chain_at_step)
            saved = {step: kept for step, kept in saved.items() if step <= event.step}
            # A later attempt may have gone back behind this one's beginning: then its rows stand no more.
            if event.step in heads and not _taken_back(bundle, number, event.step):
                yield from differs(reading.EVENTS, f"{place}: chain", heads[event.step], event.chain_at_step)


@family.check("RES-04", "a step that was done twice gave the same loss twice", "E2")
def done_twice(bundle: Bundle) -> Findings:
    before: dict[int, events.Step] = {}
    for number, _, event in bundle.spoken:
        if not isinstance(event, events.Step):
            continue
        first = before.setdefault(event.step, event)
        if not close(first.loss, event.loss, attempts.SAME_LOSS) or first.batch_sha256 != event.batch_sha256:
            yield Finding(reading.LOG, f"line {number}: step {event.step} again", repr(first.loss), repr(event.loss))


def _way(said: list[events.Event]) -> Iterator[tuple[str, Any]]:
    """What must be the same in all attempts: (name, value)."""
    for event in said:
        if isinstance(event, events.RunStart):
            for name in ("run_id", "nonce", "spec_sha256", "versions"):
                yield name, getattr(event, name)
        elif isinstance(event, events.Devices):
            for name in ("platform", "device_kind", "devices_used", "process_count", "mesh", "layout"):
                yield name, getattr(event, name)
        elif isinstance(event, events.Data):
            for name in ("train", "eval", "tokenizer_sha256"):
                yield name, getattr(event, name)
        elif isinstance(event, events.Program):
            yield "program_sha256", event.program_sha256
        elif isinstance(event, events.Source):
            yield from ((f"source file {file.path}", file.sha256) for file in event.files)


def _taken_back(bundle: Bundle, number: int, step: int) -> bool:
    later = (event for said in bundle.attempts[number:] for event in said if isinstance(event, events.Resumed))
    return any(event.step < step for event in later)
