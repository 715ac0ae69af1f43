"""What a second reading of a bundle found that the standard library cannot: arrays, token ids, the lowered program.

Made by ``python -m training.audit BUNDLE`` in a process of its own, never read from the bundle: checks compare it with
what the bundle says.
"""

from __future__ import annotations

from dataclasses import dataclass

from evidence.typed import Sha256


@dataclass(frozen=True)
class Audit:
    """``seal``: of the bundle that was read (``Bundle.seal``)."""

    seal: Sha256
