"""``assay key``: make, show, list and trust keys."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from evidence import p256, signing, trust
from evidence.trust import PINNED


def new(home: Path, name: str) -> int:
    """Make a key; its private half stays in ``home``."""
    try:
        public = signing.new_key(home, name)
    except signing.SigningError as error:
        return _fail(str(error))
    print(f"Made the key {name}: {home / trust.KEYS / f'{name}.pem'} (keep it secret, and keep a copy)")
    print(f"Fingerprint {public.fingerprint}")
    print(f"Give others {home / trust.KEYS / f'{name}.pub'}, and read them the fingerprint by another way.")
    return 0


def show(home: Path, name: str) -> int:
    """Print a key's public half and its fingerprint."""
    try:
        keys = _own(home)
        if not keys:
            return _fail("there is no key here; make one with: assay key new --name NAME")
        if not name and len(keys) > 1:
            return _fail(f"there are several keys ({', '.join(keys)}); name one of them")
        public = keys.get(name or next(iter(keys)))
    except trust.TrustError as error:
        return _fail(str(error))
    if public is None:
        return _fail(f"there is no key {name!r} in {home / trust.KEYS}; there are: {', '.join(keys)}")
    print(public.pem, end="")
    print(f"Fingerprint {public.fingerprint}")
    return 0


def list_all(home: Path) -> int:
    """Print whose signatures count here."""
    try:
        known = trust.known(home, PINNED)
        witness = _own(home).get(trust.WITNESS)
    except trust.TrustError as error:
        return _fail(str(error))
    for key in known.keys:
        word = "own" if key.own else "named by the repository, not by you" if key.committed else "trusted"
        note = f"revoked: {key.revoked}" if key.revoked else word
        print(f"{key.public.fingerprint}  {key.role:7}  {key.name}  ({note})")
    if witness and not known.find(witness.fingerprint, trust.WITNESS):
        print(
            f"{witness.fingerprint}  {trust.WITNESS:7}  this server's own key (not trusted: a witness is somebody else)"
        )
    if not known.keys and not witness:
        print("No keys. Make one with: assay key new --name NAME")
    return 0


def pin(home: Path, key: str, name: str, *, witness: bool, revoked: str, into: Path | None) -> int:
    """Trust a key from now on, or no more: a public key's file, or the fingerprint of a key that lies here."""
    path = into or home / trust.FILE
    role = trust.WITNESS if witness else trust.SIGNER
    try:
        public = _found(home, key)
        trust.pin(path, trust.Pin(name, role, public.pem, revoked))  # type: ignore[arg-type]  # one of ROLES
        trust.known(home, PINNED)
    except (trust.TrustError, signing.SigningError, OSError) as error:
        return _fail(str(error))
    if revoked:
        print(f"No longer trusting {public.fingerprint} as the {role} {name}, in {path}")
        return 0
    print(f"Trusting {public.fingerprint} as the {role} {name}, in {path}")
    print("Compare the fingerprint with what its owner tells you.")
    return 0


def _own(home: Path) -> dict[str, p256.PublicKey]:
    return {path.stem: trust.read_public(path) for path in sorted((home / trust.KEYS).glob("*.pub"))}


def _found(home: Path, key: str) -> p256.PublicKey:
    """Raises TrustError, SigningError."""
    if Path(key).is_file():
        return signing.public_key(Path(key))
    if re.fullmatch(r"[0-9a-f]{64}", key):
        for public in (*_own(home).values(), *(item.public for item in trust.known(home, PINNED).keys)):
            if public.fingerprint == key:
                return public
        raise trust.TrustError(
            f"no key with the fingerprint {key} lies here: a fingerprint recognises a key and cannot replace it; "
            "ask its owner for the .pub file"
        )
    raise trust.TrustError(f"{key!r} is neither a file nor a fingerprint of 64 hex digits")


def _fail(message: str) -> int:
    print(f"Error: {message}", file=sys.stderr)
    return 2
