"""What a run's page says of the preflight that came before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.preflights.library import Library
from backend.runs.answers import MemoryCompared, RunPreflight
from evidence import events, preflight_comparison, preflight_folder, rundir, typed
from evidence.preflight import Report
from evidence.preflight_comparison import Compared, NotCompared
from evidence.preflight_folder import Unreadable
from evidence.spec import RunSpec


def of_run(
    library: Library, run: Path, spec: RunSpec, devices: dict[str, Any] | None, program: dict[str, Any] | None
) -> RunPreflight | None:
    """The report that the run keeps; ``devices`` and ``program`` are its latest events of these kinds."""
    path = run / rundir.PREFLIGHT
    if not path.is_file():
        return None
    try:
        report = preflight_folder.read_report(path)
    except Unreadable:
        return None
    attempt = preflight_comparison.attempt_of(report, spec)
    if attempt is None:
        return None
    compared = _compared(report, spec, devices, program)
    return RunPreflight(
        id=library.of_report(report),
        topology=report.target.name,
        fits=attempt.kind == "fits",
        sentence=preflight_comparison.sentence(report, attempt),
        created_at=report.created_at,
        peak_bytes=preflight_comparison.peak_bytes(attempt) or None,
        limit_bytes=preflight_comparison.limit_bytes(attempt),
        compared=MemoryCompared(
            foretold_arguments=compared.foretold_arguments,
            compiled_arguments=compared.compiled_arguments,
            foretold_peak=compared.foretold_peak,
            compiled_peak=compared.compiled_peak,
            difference=compared.difference,
        )
        if isinstance(compared, Compared)
        else None,
        not_compared_because=compared.because if isinstance(compared, NotCompared) else "",
    )


def _compared(
    report: Report, spec: RunSpec, devices: dict[str, Any] | None, program: dict[str, Any] | None
) -> Compared | NotCompared:
    if not devices or not program:
        return NotCompared("not_compared", "the run has not compiled its step yet")
    compiled = typed.read(events.Program, {key: value for key, value in program.items() if key != "kind"})
    kind, used = str(devices["device_kind"]), int(devices["devices_used"])
    return preflight_comparison.compare(report, spec, kind, used, compiled)
