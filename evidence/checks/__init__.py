"""The checks, one module per family."""

from __future__ import annotations

from evidence.checks import (
    attempts,
    checkpoints,
    evaluation,
    hardware,
    integrity,
    metrics,
    physics,
    plausibility,
    preflight,
    provenance,
    replay,
    schema,
    security,
    structure,
    timing,
)
from evidence.checks.check import Check

FAMILIES = (
    structure,
    schema,
    integrity,
    provenance,
    metrics,
    attempts,
    timing,
    physics,
    plausibility,
    preflight,
    hardware,
    checkpoints,
    evaluation,
    replay,
    security,
)

CHECKS: tuple[Check, ...] = tuple(check for module in FAMILIES for check in module.family.checks)
