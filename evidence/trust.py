"""Whose signatures a verifier believes: keys that were pinned before, never a key that a bundle brings along.

A file of trusted keys is ``{"schema": "assay/trusted_keys@1", "keys": [{name, role, public_key, revoked?}]}``: whose
key it is, whether that one signs bundles or witnesses runs, and the key as PEM. One's own keys, below
``ASSAY_HOME/keys``, are trusted as one's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from evidence import canonical, dsse, p256, typed
from evidence.provenance import REPOSITORY

if TYPE_CHECKING:
    from evidence.reading import Bundle

FILE, KEYS, WITNESS = "trusted_keys.json", "keys", "witness"
PINNED = REPOSITORY / "submission_runs" / FILE
"""Keys that the repository itself pins: reviewed like code, and beside the bundles, never in one."""
SCHEMA: Final = "assay/trusted_keys@1"
SIGNER = "signer"
ROLES = (SIGNER, WITNESS)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,79}")
"""What a key may be called. Its name stands in statements (``builder.id``), so it has no colon and no space."""


class TrustError(ValueError):
    """A file of trusted keys, or a key, that cannot be used; the message names it."""


@dataclass(frozen=True)
class Pin:
    """One entry of a file of trusted keys. ``revoked``: why its signatures count no more, "" while they do."""

    name: str
    role: Literal["signer", "witness"]
    public_key: str
    revoked: str = ""


@dataclass(frozen=True)
class Pins:
    schema: Literal["assay/trusted_keys@1"]
    keys: list[Pin]


@dataclass(frozen=True)
class Key:
    """A public key that was pinned. ``own``: its private half lies on this machine, in one's own hands. ``committed``:
    pinned by the repository alone, whose owner may be the very one it is to be proven to."""

    name: str
    role: str
    public: p256.PublicKey
    own: bool = False
    revoked: str = ""
    committed: bool = False


@dataclass(frozen=True)
class Trust:
    """Raises TrustError where two keys claim one name and role, or one key two names."""

    keys: tuple[Key, ...] = ()

    def __post_init__(self) -> None:
        holders: dict[tuple[str, str], Key] = {}
        names: dict[tuple[str, str], str] = {}
        for key in self.keys:
            if names.setdefault((key.public.fingerprint, key.role), key.name) != key.name:
                other = names[key.public.fingerprint, key.role]
                raise TrustError(f"key {key.public.fingerprint[:16]}… is trusted both as {other} and as {key.name}")
            if not key.revoked:
                known = holders.setdefault((key.name, key.role), key)
                if known.public != key.public:
                    raise TrustError(f"two keys are trusted as the {key.role} {key.name}; revoke or rename one of them")

    def find(self, fingerprint: str, role: str) -> Key | None:
        """The key of this fingerprint that was pinned for this role; a revoked one too."""
        found = [key for key in self.keys if key.public.fingerprint == fingerprint and key.role == role]
        return next((key for key in found if key.revoked), found[0] if found else None)

    def named(self, name: str, role: str = SIGNER) -> Key | None:
        """The key that stands for this name now."""
        return next((key for key in self.keys if (key.name, key.role) == (name, role) and not key.revoked), None)

    def __add__(self, other: Trust) -> Trust:
        return Trust(tuple(dict.fromkeys((*self.keys, *other.keys))))


def read(path: Path) -> Trust:
    """The keys of a file; none where there is no file. Raises TrustError."""
    try:
        pins: Pins = typed.read(Pins, canonical.read(path))
    except FileNotFoundError:
        return Trust()
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from None
    except (canonical.JsonError, typed.WrongDocument) as error:
        raise TrustError(f"{path}: {error}") from None
    try:
        return Trust(tuple(_key(pin) for pin in pins.keys))
    except ValueError as error:
        raise TrustError(f"{path}: {error}") from None


def own(home: Path) -> Trust:
    """One's own signing keys. The server's witness key is not one of them: a witness is somebody else."""
    found = []
    for path in sorted((home / KEYS).glob("*.pub")):
        if path.stem != WITNESS:
            found.append(Key(path.stem, SIGNER, read_public(path), own=True))
    return Trust(tuple(found))


def known(home: Path, repository: Path | None = None) -> Trust:
    """One's own keys, those pinned in ``home``, and those that the file ``repository`` pins, where these agree with the
    others. Raises TrustError."""
    trust = own(home)
    mine = {key.public for key in trust.keys}
    pins = (key for key in read(home / FILE).keys if key.role != SIGNER or key.revoked or key.public not in mine)
    trust += Trust(tuple(pins))
    for key in read(repository).keys if repository else ():
        holder, known_as = trust.named(key.name, key.role), trust.find(key.public.fingerprint, key.role)
        if known_as is None and (holder is None or key.revoked):
            trust += Trust((replace(key, committed=True),))
        elif known_as and key.revoked and not known_as.revoked:
            trust += Trust((replace(known_as, own=False, revoked=key.revoked, committed=True),))
    return trust


def read_public(path: Path) -> p256.PublicKey:
    """The public key in a PEM file. Raises TrustError."""
    try:
        return p256.from_pem(path.read_text(encoding="ascii"))
    except OSError as error:
        raise TrustError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise TrustError(f"{path}: {error}") from None


def pin(path: Path, entry: Pin) -> None:
    """Add a key to a file of trusted keys. Raises TrustError, and then changes nothing."""
    try:
        entries = typed.read(Pins, canonical.read(path)).keys if path.exists() else []
    except (canonical.JsonError, typed.WrongDocument) as error:
        raise TrustError(f"{path}: {error}") from None
    if entry in entries:
        return
    Trust(tuple(_key(item) for item in (*entries, entry)))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(canonical.pretty(typed.write(Pins(SCHEMA, [*entries, entry]))), encoding="utf-8")
    draft.replace(path)


def vouched(bundle: Bundle, path: str) -> str:
    """Who of those that this verifier trusts signed the file ``path`` beside the seal, as it is, of this very bundle;
    "" for nobody. Raises Unreadable where there is no such file."""
    from evidence import attestations

    subjects = [(path, bundle.sha256(path)), attestations.seal_of(bundle)]
    for name in attestations.files(bundle):
        try:
            signed = dsse.read(bundle.bytes(name))
        except dsse.Malformed:
            continue
        key = bundle.known.trust.find(signed.keyid, SIGNER)
        about = [(item.name, item.digest.sha256) for item in signed.statement.subject]
        if (
            key
            and not key.revoked
            and about == subjects
            and attestations.is_replay(signed)
            and signed.verifies(key.public)
        ):
            return key.name
    return ""


def _key(pin: Pin) -> Key:
    if not NAME.fullmatch(pin.name):
        raise TrustError(f"a key cannot be called {pin.name[:80]!r}: letters, digits and . _ @ + - only")
    try:
        return Key(pin.name, pin.role, p256.from_pem(pin.public_key), revoked=pin.revoked)
    except p256.NoKey as error:
        raise TrustError(f"the public key of {pin.name}: {error}") from None
