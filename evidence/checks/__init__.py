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
    platform,
    plausibility,
    preflight,
    provenance,
    rehearsal,
    replay,
    schema,
    security,
    signatures,
    structure,
    timing,
    witness,
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
    rehearsal,
    platform,
    hardware,
    checkpoints,
    evaluation,
    replay,
    security,
    signatures,
    witness,
)

CHECKS: tuple[Check, ...] = tuple(check for module in FAMILIES for check in module.family.checks)
