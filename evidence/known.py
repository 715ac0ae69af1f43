"""What a verifier brings along beyond the bundle's bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from evidence.audit import Audit
from evidence.replay import Replay
from evidence.trust import Trust


@dataclass(frozen=True)
class Told:
    """What the platform's API told this verifier of the version that the bundle names. ``notebook`` and ``log``: as it
    gave them."""

    endpoint: str
    version: int
    kernel_id: int
    machine_shape: str
    docker_image: str
    notebook: str
    log: str


@dataclass(frozen=True)
class Known:
    """``audit``, ``replay`` and ``platform`` are this verifier's own, of this very bundle; ``no_audit`` and its like
    say why there is none."""

    audit: Audit | None = None
    no_audit: str = "needs the trainer's packages (jax): pip install 'assay[train]'"
    replay: Replay | None = None
    no_replay: str = "nobody replayed this bundle here; replay a segment: assay replay"
    platform: Told | None = None
    no_platform: str = "the platform was not asked; assay verify --online asks it"
    trust: Trust = field(default_factory=Trust)
