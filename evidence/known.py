"""What a verifier brings along beyond the bundle's bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from evidence.audit import Audit
from evidence.replay import Replay
from evidence.trust import Trust


@dataclass(frozen=True)
class Known:
    """``audit`` and ``replay`` were made by this verifier, of this very bundle; ``no_audit`` and ``no_replay``
    say why there is none."""

    audit: Audit | None = None
    no_audit: str = "needs the trainer's packages (jax): pip install 'assay[train]'"
    replay: Replay | None = None
    no_replay: str = "nobody replayed this bundle here; replay a segment: assay replay"
    trust: Trust = field(default_factory=Trust)
