"""What a second reading of a bundle found that the standard library cannot: arrays, token ids, the lowered program.

Made by ``python -m training.audit BUNDLE`` in a process of its own, never read from the bundle: checks compare it with
what the bundle says. What could not be observed says why; nothing here is a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from evidence import deeper
from evidence.typed import Count, Natural, NotNegative, Positive, Sha256

LIMIT_SECONDS = 900.0
MOST_DEVICES: Final = 1024
"""Virtual devices that an audit is ready to lower a program for."""

GROUPS: dict[str, tuple[str, ...]] = {
    "batches": (
        "evidence/canonical.py",
        "training/batches.py",
        "training/packing.py",
        "training/rows.py",
        "training/tokenizer.py",
    ),
    "decoding": ("training/tokenizer.py",),
    "program": (
        "evidence/plan.py",
        "evidence/spec.py",
        "training/gemma.py",
        "training/loss.py",
        "training/mesh.py",
        "training/optimizer.py",
        "training/step.py",
    ),
    "shapes": ("training/gemma.py", "training/optimizer.py", "training/throughput.py"),
    "weights": ("evidence/states.py", "training/checkpoints.py", "training/gemma.py", "training/weights.py"),
}
"""Files that decide a part: where they are those of the bundle byte for byte, a difference is the bundle's."""


@dataclass(frozen=True)
class NotMade:
    """A part that could not be observed."""

    kind: Literal["not_made"]
    because: str


@dataclass(frozen=True)
class Leaf:
    """One array as it was read; ``l2`` is 0 where it is not ``finite``."""

    path: str
    dtype: str
    shape: tuple[Natural, ...]
    sha256: Sha256
    l2: NotNegative
    finite: bool


@dataclass(frozen=True)
class Loaded:
    """A saved state, read array for array. ``counts``: the optimizer's counters of steps; ``saved_step``: its own."""

    kind: Literal["loaded"]
    step: Natural
    saved_step: Natural
    counts: tuple[Natural, ...]
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True)
class NotLoaded:
    """``broken``: it lies in the bundle, and reading it ended in an error."""

    kind: Literal["not_loaded"]
    step: Natural
    because: str
    broken: bool


@dataclass(frozen=True)
class Move:
    """How far the weights went between two states, as a share of the farthest that the optimizer can go: ``ratio`` is
    the largest over all trained arrays, ``leaf`` where."""

    kind: Literal["move"]
    from_step: Natural
    to_step: Natural
    ratio: NotNegative
    leaf: str


@dataclass(frozen=True)
class NoMove:
    kind: Literal["no_move"]
    from_step: Natural
    to_step: Natural
    because: str


@dataclass(frozen=True)
class Shape:
    path: str
    dtype: str
    shape: tuple[Natural, ...]


@dataclass(frozen=True)
class Shapes:
    """What the config's model and optimizer consist of. ``argument_bytes``: state and batch on one device.
    ``frozen``: parameters that are not trained. ``weights``: what the config's initial weights are called."""

    kind: Literal["shapes"]
    leaves: tuple[Shape, ...]
    frozen: tuple[str, ...]
    parameters: Count
    parameter_bytes: Count
    optimizer_bytes: Natural
    argument_bytes: Count
    model_flops_per_step: Positive
    weights: str


@dataclass(frozen=True)
class Initial:
    """The weights before step 1, drawn from the seed again."""

    kind: Literal["drawn"]
    parameters_digest: Sha256


@dataclass(frozen=True)
class Retrained:
    """The tokenizer that the bundle's own training rows give."""

    kind: Literal["retrained"]
    sha256: Sha256


@dataclass(frozen=True)
class TokenizerRead:
    kind: Literal["read"]
    sha256: Sha256
    vocab_size: Count
    retrained: Retrained | NotMade


@dataclass(frozen=True)
class Batches:
    """The batch of every step 1..N, from data, tokenizer and seed. ``supervised``: of each step alone; ``tokens`` of
    one step; ``sequences`` that the rows fill; ``unused`` rows have nothing to train on."""

    kind: Literal["batches"]
    sequences: Count
    unused: Natural
    tokens: Count
    sha256: tuple[Sha256, ...]
    supervised: tuple[Natural, ...]


@dataclass(frozen=True)
class Lines:
    """Texts in the order of the file they are of."""

    kind: Literal["lines"]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Lowered:
    """The step's StableHLO text, for as many devices of the platform that the manifest names."""

    kind: Literal["lowered"]
    sha256: Sha256
    platform: str
    devices: Count


@dataclass(frozen=True)
class Compiled:
    """What the compiler here says of the same program, in bytes per device."""

    kind: Literal["compiled"]
    argument_bytes: Natural
    output_bytes: Natural
    temporary_bytes: Natural
    alias_bytes: Natural
    flops: NotNegative


@dataclass(frozen=True)
class Sources:
    """``differing``: files of the group (GROUPS) that the bundle lacks, or has with another content than here."""

    group: str
    differing: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """``seal``: of the bundle that was read (``Bundle.seal``). ``versions``: of the packages here that matter."""

    seal: Sha256
    versions: dict[str, str]
    sources: tuple[Sources, ...]
    states: tuple[Loaded | NotLoaded, ...]
    moves: tuple[Move | NoMove, ...]
    shapes: Shapes | NotMade
    initial: Initial | NotMade
    tokenizer: TokenizerRead | NotMade
    batches: Batches | NotMade
    first_batch: Lines | NotMade
    predictions: Lines | NotMade
    samples: Lines | NotMade
    program: Lowered | NotMade
    compiled: Compiled | NotMade


def make(bundle: Path, limit_seconds: float = LIMIT_SECONDS) -> Audit:
    """The audit of a bundle folder, in a process of its own. Raises deeper.Impossible."""
    arguments = [str(bundle.resolve())]
    return deeper.made(Audit, "training.audit", arguments, limit_seconds=limit_seconds)
