"""A replay's result: a segment of a sealed run, executed again from its saved state, beside what the bundle says."""

from __future__ import annotations

from dataclasses import dataclass

from evidence.typed import Sha256


@dataclass(frozen=True)
class Replay:
    """``seal``: of the bundle that was replayed (``Bundle.seal``)."""

    seal: Sha256
