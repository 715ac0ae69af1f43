"""session.json: what one rented session (a Kaggle notebook, say) was, did and left, for whoever collects its output.

The notebook's last cell writes it beside ``assay_run.tar.gz`` and prints it behind ``:::SESSION ``, whatever happened
before: a session on the wrong machine has one, too. Of the environment only ``RECORDED`` is told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from evidence.typed import Count, GitId, InnerPath, Natural, Quote, Sha256, Text, Utc

SCHEMA: Final = "assay/session@1"
DOCUMENT, ARCHIVE = "session.json", "assay_run.tar.gz"
RUN, BUNDLE = "run", "bundle"
"""The archive's two folders: the whole run folder, to be adopted and resumed, and the sealed bundle."""

MARK, HARDWARE_MARK = ":::SESSION ", ":::HARDWARE "
"""Behind these the platform's log carries session.json, and the proof of the hardware."""

WRONG_HARDWARE = 78
"""Exit code of ``python -m training.prove_hardware`` on another machine than was asked for (EX_CONFIG)."""

RECORDED = (
    "KAGGLE_CONTAINER_NAME",
    "KAGGLE_DOCKER_IMAGE",
    "KAGGLE_GCP_ZONE",
    "KAGGLE_KERNEL_RUN_TYPE",
    "KAGGLE_URL_BASE",
    "TPU_ACCELERATOR_TYPE",
)
"""The only variables of the environment that are written down. None of them ever holds a secret."""


@dataclass(frozen=True)
class Asked:
    platform: Literal["cpu", "gpu", "tpu"]
    devices: Count


@dataclass(frozen=True)
class Accelerator:
    """``memory_bytes`` 0: the runtime does not tell."""

    id: Natural
    device_kind: Text
    memory_bytes: Natural


@dataclass(frozen=True)
class Found:
    """What the runtime says, and what the first device makes of a fixed program (``training/fingerprint.py``)."""

    kind: Literal["found"]
    platform: Literal["cpu", "gpu", "tpu"]
    device_kinds: list[Text]
    devices: list[Accelerator]
    runtime: Text
    versions: dict[str, Text]
    numerics_sha256: Sha256
    matmul_bits: Count


@dataclass(frozen=True)
class NoBackend:
    kind: Literal["no_backend"]
    because: Quote


@dataclass(frozen=True)
class Proven:
    """The machine is the one that was asked for."""

    kind: Literal["proven"]
    time: Utc
    asked: Asked
    found: Found


@dataclass(frozen=True)
class Refused:
    """It is another one, and nothing was trained on it."""

    kind: Literal["refused"]
    time: Utc
    asked: Asked
    found: Found | NoBackend
    because: Quote


@dataclass(frozen=True)
class NotReached:
    kind: Literal["not_reached"]
    because: Text


@dataclass(frozen=True)
class Kaggle:
    """What the platform's own variables say. They are its word as the session saw it, no proof."""

    kind: Literal["kaggle"]
    variables: dict[str, Text]


@dataclass(frozen=True)
class Elsewhere:
    kind: Literal["elsewhere"]
    because: Text


@dataclass(frozen=True)
class FromArchive:
    """The source came as an archive with this digest."""

    kind: Literal["archive"]
    sha256: Sha256


@dataclass(frozen=True)
class FromFolder:
    """The source lay there unpacked (platforms unpack what is attached), so that only the commit could be checked."""

    kind: Literal["folder"]


@dataclass(frozen=True)
class Source:
    """The commit and its tree, recomputed from the files that ran."""

    commit: GitId
    tree: GitId
    came_as: FromArchive | FromFolder


@dataclass(frozen=True)
class Trained:
    kind: Literal["run"]
    run_id: Text
    state: Text
    said: Quote


@dataclass(frozen=True)
class NoRun:
    kind: Literal["no_run"]
    because: Quote


@dataclass(frozen=True)
class Sealed:
    """``seal``: the digest of the bundle's MANIFEST.sha256. ``level`` is absent where no level is reached."""

    kind: Literal["sealed"]
    name: Text
    seal: Sha256
    valid: bool
    verdict: Quote
    level: str = ""


@dataclass(frozen=True)
class NotSealed:
    kind: Literal["not_sealed"]
    because: Quote


@dataclass(frozen=True)
class LeftOut:
    """A saved state that the archive has no room for."""

    path: InnerPath
    bytes: Natural
    because: Text


@dataclass(frozen=True)
class Packed:
    kind: Literal["packed"]
    file: InnerPath
    sha256: Sha256
    bytes: Count
    left_out: list[LeftOut]


@dataclass(frozen=True)
class NotPacked:
    kind: Literal["not_packed"]
    because: Quote


@dataclass(frozen=True)
class Session:
    schema: Literal["assay/session@1"]
    smoke: bool
    started_at: Utc
    ended_at: Utc
    platform: Kaggle | Elsewhere
    source: Source
    hardware: Proven | Refused | NotReached
    run: Trained | NoRun
    bundle: Sealed | NotSealed
    output: Packed | NotPacked


def platform(environment: Mapping[str, str] = os.environ) -> Kaggle | Elsewhere:
    """What is told of where this process runs: allow-listed variables, and of those only harmless-looking values."""
    told = {
        name: value
        for name in RECORDED
        if re.fullmatch(r"[A-Za-z0-9][\w./:@+-]{0,199}", value := environment.get(name, "").strip())
    }
    if "KAGGLE_KERNEL_RUN_TYPE" not in told:
        return Elsewhere("elsewhere", "KAGGLE_KERNEL_RUN_TYPE is not set, so this is not a Kaggle session")
    return Kaggle("kaggle", told)
