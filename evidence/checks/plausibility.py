"""PLA: the curve looks like one that a machine made. These can only warn."""

from __future__ import annotations

import math
import struct
from itertools import pairwise

from evidence import reading
from evidence.checks.check import Family, Findings, NotRun
from evidence.reading import Bundle
from evidence.verdict import Finding

family = Family("plausibility")

FEWEST_ROWS = 50
"""Below so many rows nothing can be said of noise."""
BETTER_NATS = 1.0
"""How much better than by guessing a random model may begin. It begins worse: its embedding is its output matrix, too,
so it favours the words it has just read, by up to √hidden_size."""


@family.check("PLA-01", "the curve has a machine's noise: float32, no two alike, never smooth", "E3", warns=True)
def noise(bundle: Bundle) -> Findings:
    rows = bundle.rows
    for row in rows:
        for name in ("loss", "grad_norm", "param_norm"):
            if (value := getattr(row, name)) != _float32(value):
                yield Finding(
                    reading.METRICS, f"step {row.step}: {name}", "a float32, as the step computes", repr(value)
                )
                return
    if len(rows) < FEWEST_ROWS:
        raise NotRun(f"{len(rows)} rows are too few to tell noise from a drawing")
    losses = [row.loss for row in rows]
    if len(set(losses)) < 0.9 * len(losses):
        yield Finding(reading.METRICS, "loss", "hardly a value twice", f"{len(set(losses))} values in {len(rows)} rows")
    slopes = [after - before for before, after in pairwise(losses)]
    turns = sum(left * right < 0 for left, right in pairwise(slopes))
    if turns < 0.05 * len(slopes):
        yield Finding(
            reading.METRICS, "loss", "ups and downs from batch to batch", f"{turns} turns in {len(rows)} rows"
        )
    seconds = {row.step_seconds for row in rows}
    if len(seconds) < 0.5 * len(rows):
        yield Finding(reading.METRICS, "step_seconds", "a clock's jitter", f"{len(seconds)} values in {len(rows)} rows")


@family.check("PLA-02", "a random model starts by guessing", "E3", warns=True)
def start(bundle: Bundle) -> Findings:
    if bundle.manifest.model.weights != "random":
        raise NotRun(f"the first loss of {bundle.manifest.model.weights} is known to who replays the first step")
    model, first = bundle.document("config/effective.json")["model"], bundle.rows[0].loss
    guess = math.log(model["vocab_size"])
    lowest, highest = guess - BETTER_NATS, guess + math.sqrt(model["hidden_size"])
    if not lowest <= first <= highest:
        yield Finding(reading.METRICS, "step 1: loss", f"from {lowest:.2f} to {highest:.2f}", f"{first:.4f}")


def _float32(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.inf
