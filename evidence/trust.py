"""Whose signatures a verifier believes: keys that were pinned before, never a key that a bundle brings along."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trust:
    """``keys``: who, by the SHA-256 of the public key's DER encoding (SubjectPublicKeyInfo)."""

    keys: tuple[tuple[str, str], ...] = ()
