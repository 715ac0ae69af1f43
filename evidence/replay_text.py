"""A replay, told: what was compared, how alike it was, what that means. Pure functions over a bundle and a replay."""

from __future__ import annotations

from dataclasses import dataclass

from evidence import reading, replay
from evidence.checks.replay import family
from evidence.reading import Bundle
from evidence.replay import Answered, Asked, Compared, NotAnswered, Replay
from evidence.verdict import FAIL, NOT_RUN, CheckResult


@dataclass(frozen=True)
class Answers:
    """``same`` of ``items`` are equal; of the rest, ``ties`` are explained by rounding. ``because``: why there are
    none, "" where there are."""

    items: int
    same: int
    ties: int
    because: str


@dataclass(frozen=True)
class Told:
    """``agrees``: no check of the replay failed or could not say. ``bit_equal``: not one bit differs in the segment.
    ``control``: what the wrong learning rate gave; ``noticed``: it was outside the caps, as it has to be."""

    sentence: str
    agrees: bool
    bit_equal: bool
    tier_meaning: str
    compared: tuple[Compared, ...]
    control: tuple[Compared, ...]
    noticed: bool
    samples: Answers
    predictions: Answers
    results: tuple[CheckResult, ...]


def tell(bundle: Bundle, made: Replay) -> Told:
    """``bundle.known.replay`` is ``made``. Raises Unreadable for a bundle whose documents are broken."""
    tier, measured = replay.tier_of(bundle.manifest, made.measured.here), made.measured

    def compared(steps: tuple[replay.Row, ...], end: replay.Reached | replay.NoState) -> tuple[Compared, ...]:
        return tuple(replay.compare(bundle.rows, bundle.manifest, steps, end, tier.caps))

    results = tuple(check.run(bundle) for check in family.checks)
    bad = [item for item in results if item.result in (FAIL, NOT_RUN)]
    equal = replay.bit_equal(bundle.rows, bundle.manifest, measured)
    control = compared(measured.control.steps, measured.control.end)
    where = f"Steps {made.segment.from_step + 1} to {made.segment.to_step}"
    drawn = "named by whoever asked" if isinstance(made.chosen, Asked) else f"drawn by {made.chosen.nonce}"
    if bad:
        first = bad[0]
        why = str(first.findings[0]) if first.findings else first.reason
        word = "do not agree with the bundle" if any(item.result == FAIL for item in bad) else "prove nothing yet"
        sentence = f"{where} ({drawn}), trained again, {word}: {first.id}: {why}"
    else:
        how = "to the last bit" if equal else f"within the tolerance of {tier.name}"
        sentence = f"{where} ({drawn}), trained again, give what the bundle says, {how}."
    return Told(
        sentence=sentence,
        agrees=not bad,
        bit_equal=equal,
        tier_meaning=replay.TIER_MEANING[tier.name],
        compared=compared(measured.steps, measured.end),
        control=control,
        noticed=not all(item.within for item in control),
        samples=_answers(bundle, reading.SAMPLES, measured.samples, tier.caps.margin),
        predictions=_answers(bundle, reading.PREDICTIONS, (measured.predictions,), tier.caps.margin),
        results=results,
    )


def text(told: Told, made: Replay) -> str:
    """For a terminal: the sentence, the table, and what else was done again."""
    rows = [("", "found", "at most", "wrong rate", "")]
    for item, wrong in zip(told.compared, told.control, strict=True):
        cap = f"{item.cap:.0e}" if item.cap else "0"
        rows.append((item.what, f"{item.found:.2e}", cap, f"{wrong.found:.2e}", "" if item.within else "DIFFERS"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    table = [
        "  ".join([row[0].ljust(widths[0]), *(row[column].rjust(widths[column]) for column in range(1, 5))]).rstrip()
        for row in rows
    ]
    factor = made.measured.control.factor
    noticed = "was noticed, as it has to be" if told.noticed else "was NOT noticed: this segment proves nothing"
    return "\n".join(
        [
            told.sentence,
            "",
            *table,
            "",
            f"Tolerance {made.tier}: {told.tier_meaning} ({made.tier_because}).",
            f"Wrong on purpose, with learning rates × {factor:g}, the segment {noticed}.",
            f"Samples: {_said(told.samples)}. Answers of the evaluation: {_said(told.predictions)}.",
            f"{made.measured.seconds:.0f} s, seal {made.seal[:16]}…",
            "",
        ]
    )


def _said(answers: Answers) -> str:
    if answers.because:
        return f"not generated again ({answers.because})"
    ties = f", {answers.ties} more differ in a near tie" if answers.ties else ""
    return f"{answers.same} of {answers.items} generated again the same{ties}"


def _answers(bundle: Bundle, name: str, found: tuple[Answered | NotAnswered, ...], margin: float) -> Answers:
    because = next((item.because for item in found if isinstance(item, NotAnswered)), "")
    answers = [answer for item in found if isinstance(item, Answered) for answer in item.answers]
    if not answers:
        return Answers(0, 0, 0, because or "there are none")
    lines = bundle.lines(name)
    stated = [lines[answer.line - 1]["token_ids"] if answer.line <= len(lines) else [] for answer in answers]
    same = sum(ids == list(answer.token_ids) for ids, answer in zip(stated, answers, strict=True))
    ties = sum(
        ids != list(answer.token_ids) and answer.margin <= margin and margin > 0
        for ids, answer in zip(stated, answers, strict=True)
    )
    return Answers(len(answers), same, ties, "")
