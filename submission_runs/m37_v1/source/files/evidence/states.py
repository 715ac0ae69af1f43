"""Digests of a saved state. Its folder's digest tells whether a copy is whole; its leaves' digests tell what it holds.

Both are needed: Orbax writes the same state to different bytes each time, and restores a flipped bit without a word.
A leaf is ``{"path", "dtype", "shape", "sha256", "l2"}``; paths begin with ``parameters.`` or ``optimizer.``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evidence import canonical

Leaf = Mapping[str, Any]
PARAMETERS, OPTIMIZER = "parameters", "optimizer"


def part(leaves: Sequence[Leaf], name: str) -> list[Leaf]:
    """The leaves below ``parameters`` or ``optimizer``, sorted by path."""
    return sorted((leaf for leaf in leaves if leaf["path"].startswith(f"{name}.")), key=lambda leaf: str(leaf["path"]))


def leaves_digest(leaves: Sequence[Leaf], name: str) -> str:
    """Digest of the leaves of one part; the l2 norm is a convenience and not in it."""
    return canonical.digest([{key: leaf[key] for key in ("path", "dtype", "shape", "sha256")}
                             for leaf in part(leaves, name)])  # fmt: skip


def tree_digest(files: Mapping[str, str]) -> str:
    """Digest of a folder, from its files' SHA-256 by relative POSIX path."""
    return canonical.digest([list(item) for item in sorted(files.items())])
