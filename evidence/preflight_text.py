"""A preflight's report as text for a terminal: the verdict first, then what it rests on. A pure function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap

from evidence.preflight import DoesNotFit, Estimate, Fits, LargestBatch, Memory, Refused, Report
from evidence.preflight_comparison import size

BAR_WIDTH = 48
WIDTH = 110
LONGEST_MESSAGE = 24
"""Lines of the compiler's message; report.json has all of it."""

_PARTS = (("parameters", "█"), ("optimizer", "▓"), ("other_arguments", "▒"), ("temporaries", "░"))


def text(report: Report) -> str:
    """Everything of the report that a person asks about, with a final newline."""
    chosen = report.plans[report.chosen]
    parts = [
        [report.verdict],
        _memory(chosen.memory) if isinstance(chosen, Fits) else [],
        _step(report, chosen),
        _collectives(chosen) if isinstance(chosen, Fits) else [],
        _plans(report),
        _largest(report.largest),
        _list("What would make it fit", report.advice),
        _message(chosen),
        [_facts(report)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def time_words(seconds: float) -> str:
    for unit, one in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= one:
            return f"{seconds / one:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _memory(memory: Memory) -> list[str]:
    names = {"parameters": "parameters", "optimizer": "optimizer state", "other_arguments": "batch and other"}
    bar = ""
    lines = []
    for name, mark in _PARTS:
        held = getattr(memory, name)
        bar += mark * round(held / memory.limit * BAR_WIDTH)
        lines.append(f"  {mark} {names.get(name, name):<16} {size(held):>10}")
    bar = bar[:BAR_WIDTH].ljust(BAR_WIDTH)
    share = 100 * memory.peak / memory.limit
    return [
        "Memory on one device, by the compiler",
        f"  {bar}│ limit {size(memory.limit)}",
        *lines,
        f"    {'peak':<16} {size(memory.peak):>10}  {share:.0f} % of the limit",
    ]


def _step(report: Report, chosen: Fits | DoesNotFit | Refused) -> list[str]:
    if not isinstance(chosen, Fits):
        return []
    estimate = chosen.estimate
    if not isinstance(estimate, Estimate):
        return ["Step time", f"  not estimated: {estimate.because}"]
    low, high = time_words(estimate.step_seconds_at_least), time_words(estimate.step_seconds_at_most)
    share = 100 * estimate.model_flops_utilization_at_most
    return [
        "Step time, an estimate and not a speed: nothing was executed",
        f"  {low} to {high}; model FLOPs utilization at most {share:.0f} %",
        *_method("compute", estimate.compute_seconds, report.compute_method),
        *_method("communication", estimate.communication_seconds, report.communication_method),
        *wrap(report.interval_method, WIDTH, initial_indent="  ", subsequent_indent="  "),
    ]


def _method(name: str, seconds: float, method: str) -> list[str]:
    indent = " " * 30
    lines = wrap(method, WIDTH, initial_indent=indent, subsequent_indent=indent)
    return [f"  {name:<14}{time_words(seconds):>10}" + lines[0][26:], *lines[1:]]


def _collectives(fits: Fits) -> list[str]:
    if not fits.received_bytes:
        return []
    rows = [(item.collective, f"{item.count:,} ×", size(item.bytes)) for item in fits.received_bytes]
    return ["What one device receives in a step", *_columns(rows)]


def _plans(report: Report) -> list[str]:
    if len(report.plans) < 2:
        return []
    rows = [
        (
            "→" if number == report.chosen else " ",
            plan_words(item.plan),
            batch_words(item.batch_size, item.gradient_accumulation),
            _outcome(item),
        )
        for number, item in enumerate(report.plans)
    ]
    return ["Plans tried (→ the one to use)", *_columns(rows)]


def plan_words(plan: dict[str, bool | int | str]) -> str:
    """A plan's settings in a line."""
    first = ("layout", "layers")
    named = [str(plan[name]) for name in first if name in plan]
    return ", ".join([*named, *(f"{name} {value}" for name, value in plan.items() if name not in first)])


def batch_words(batch_size: int, gradient_accumulation: int) -> str:
    return f"batch {batch_size}" + (f" in {gradient_accumulation} parts" if gradient_accumulation > 1 else "")


def _outcome(item: Fits | DoesNotFit | Refused) -> str:
    if isinstance(item, Fits):
        estimate = item.estimate
        time = f", at least {time_words(estimate.step_seconds_at_least)}" if isinstance(estimate, Estimate) else ""
        return f"fits in {size(item.memory.peak)}{time}"
    if isinstance(item, DoesNotFit):
        return f"does not fit: needs {size(item.needed_bytes)}" if item.needed_bytes else "does not fit"
    return f"refused: {item.message}"


def _largest(largest: object) -> list[str]:
    if not isinstance(largest, LargestBatch):
        return []
    if not largest.batch_size:
        return ["Largest batch", f"  none fits; the smallest tried was {largest.too_large}"]
    beyond = f"; {largest.too_large} does not fit" if largest.too_large else "; no larger one was tried"
    return ["Largest batch", f"  {largest.batch_size} with the chosen plan, in {size(largest.peak)}{beyond}"]


def _message(chosen: Fits | DoesNotFit | Refused) -> list[str]:
    if isinstance(chosen, Fits):
        return []
    lines = chosen.message.splitlines()
    more = len(lines) - LONGEST_MESSAGE
    rest = [f"  … {more} more lines; --json or --save has them all"] if more > 0 else []
    title = "The compiler's own message" if isinstance(chosen, DoesNotFit) else "Refused before compiling"
    return [title, *(f"  {line}".rstrip() for line in lines[:LONGEST_MESSAGE]), *rest]


def _list(title: str, items: Sequence[str]) -> list[str]:
    return [title, *(f"  - {item}" for item in items)] if items else []


def _facts(report: Report) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    target = f"{report.target.name}: {report.target.devices} × {report.target.device_kind}"
    return f"{report.config} for {target}; compiled in {report.seconds:,.0f} s with {versions}"


def _columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Rows of cells, each column as wide as its widest cell."""
    table = list(rows)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]
