"""TIM: one consistent history, on clocks that were not typed by hand."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from evidence import events, reading
from evidence.checks.check import Family, Findings, close, differs
from evidence.events import instant
from evidence.manifest import GitSource, Performed
from evidence.reading import Bundle
from evidence.verdict import Finding

family = Family("timing")

CLOCKS_APART = timedelta(minutes=10)


@family.check("TIM-01", "everything happened in an order that is possible", "E2", about="any")
def history(bundle: Bundle) -> Findings:
    run, rows = bundle.told.run, [] if bundle.early else bundle.rows
    moments = [
        ("the run was asked for", run.created_at),
        ("the recorder started", run.started_at),
        *([("run_start", bundle.attempts[0][0].time)] if bundle.attempts else []),
        *([("the first row", rows[0].time), ("the last row", rows[-1].time)] if rows else []),
        *([("its last word", bundle.attempts[-1][-1].time)] if bundle.attempts and not bundle.silent else []),
        ("the process ended", run.finished_at),
        ("now", events.stamp(datetime.now(UTC))),
    ]
    yield from _after_its_commit(bundle)
    for (before, earlier), (after, later) in pairwise(moments):
        if instant(earlier) > instant(later):
            yield Finding(reading.MANIFEST, f"{before} → {after}", f"not before {earlier}", later)
    if bundle.early:
        return
    resumed = _first_rows(bundle)
    for first, second in pairwise(rows):
        # Another attempt may be on another boot, whose monotonic clock begins anew.
        backwards = first.monotonic_ns >= second.monotonic_ns and second.step not in resumed
        if instant(first.time) > instant(second.time) or backwards:
            yield Finding(reading.METRICS, f"step {second.step}: time", f"after {first.time}", second.time)
            return
    evaluation = bundle.summary.evaluation
    if isinstance(evaluation, Performed) and not run.started_at <= evaluation.evaluated_at <= run.finished_at:
        yield Finding(reading.SUMMARY, "$.evaluation.evaluated_at", "within the run", evaluation.evaluated_at)


@family.check("TIM-02", "the wall clock and the monotonic clock agree", "E2")
def clocks(bundle: Bundle) -> Findings:
    first, resumed = bundle.rows[0], _first_rows(bundle)
    for row in bundle.rows[1:]:
        if row.step in resumed:
            first = row
        wall = (instant(row.time) - instant(first.time)).total_seconds()
        monotonic = (row.monotonic_ns - first.monotonic_ns) / 1e9
        if abs(wall - monotonic) > 0.05 + 1e-4 * monotonic:
            yield Finding(
                reading.METRICS, f"step {row.step}: time", f"{monotonic:.3f} s after step {first.step}", f"{wall:.3f} s"
            )
            return


@family.check("TIM-03", "the speed is that of the rows", "E2")
def throughput(bundle: Bundle) -> Findings:
    rows, timing, resumed = bundle.rows, bundle.manifest.timing, _first_rows(bundle)
    for before, row in pairwise(rows):
        if row.step in resumed:
            continue
        seconds = (row.monotonic_ns - before.monotonic_ns) / 1e9
        if abs(seconds - row.step_seconds) > 1e-6:
            yield Finding(
                reading.METRICS, f"step {row.step}: step_seconds", f"{seconds:.6f}", f"{row.step_seconds:.6f}"
            )
            return
    tokens = bundle.manifest.training.global_batch_size * bundle.manifest.training.sequence_length
    for row in rows:
        if row.tokens_per_second and not close(tokens / row.step_seconds, row.tokens_per_second, 1e-6):
            expected = f"{tokens / row.step_seconds:.1f}"
            yield Finding(
                reading.METRICS, f"step {row.step}: tokens_per_second", expected, f"{row.tokens_per_second:.1f}"
            )
            return
    elapsed = sum(row.step_seconds for row in rows)
    if not close(elapsed, timing.train_seconds, 0.01):
        yield Finding(reading.MANIFEST, "$.timing.train_seconds", f"{elapsed:.3f}", f"{timing.train_seconds:.3f}")
    if not close(rows[-1].tokens / elapsed, timing.tokens_per_second, 0.01):
        yield Finding(
            reading.MANIFEST,
            "$.timing.tokens_per_second",
            f"{rows[-1].tokens / elapsed:.1f}",
            f"{timing.tokens_per_second:.1f}",
        )
    program: events.Program = bundle.event(events.Program)
    yield from differs(reading.MANIFEST, "$.timing.compile_seconds", program.compile_seconds, timing.compile_seconds)


@family.check("TIM-05", "compiling took time, as it does", "E2", warns=True)
def compile_visible(bundle: Bundle) -> Findings:
    timing = bundle.manifest.timing
    if timing.compile_seconds < timing.median_step_seconds / 10:
        yield Finding(
            reading.MANIFEST, "$.timing.compile_seconds", "more than a tenth of a step", f"{timing.compile_seconds:.4f}"
        )


def _after_its_commit(bundle: Bundle) -> Findings:
    """A commit's time is its author's machine's: minutes may lie between two clocks."""
    if not isinstance(bundle.told.source, GitSource):
        return
    said = re.search(
        r"^committer .* (\d+) [+-]\d{4}$", str(bundle.document("source/commit.json")["text"]), re.MULTILINE
    )
    asked = instant(bundle.told.run.created_at)
    if said and (committed := datetime.fromtimestamp(int(said[1]), UTC)) > asked + CLOCKS_APART:
        expected = f"after its commit, {events.stamp(committed)}"
        yield Finding(reading.MANIFEST, "$.run.created_at", expected, bundle.told.run.created_at)


def _first_rows(bundle: Bundle) -> set[int]:
    """The first step of each attempt that went on from a saved state."""
    return {event.step + 1 for event in bundle.all_events if isinstance(event, events.Resumed)}
