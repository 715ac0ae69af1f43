"""Signing: private keys, and the statements made with them. The only module that needs cryptography.

Keys lie in ``ASSAY_HOME/keys``: ``<name>.pem`` (PKCS#8, readable by its owner alone) beside ``<name>.pub``. Nothing of
the private half ever leaves that folder. Nonces are deterministic (RFC 6979): signing the same twice gives the same
bytes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from evidence import attestations, dsse, p256
from evidence.reading import REPLAY, Bundle
from evidence.trust import KEYS, NAME, WITNESS, TrustError, read_public
from evidence.verdict import Verdict

MISSING = "signing needs the cryptography package: pip install cryptography"


class SigningError(ValueError):
    """There is no signature to be had; the message says why, and what to do."""


class Signer:
    """A private key and the name of whoever it speaks for."""

    def __init__(self, name: str, private: Any) -> None:
        self.name = name
        self._private = private
        self.public = p256.from_der(_der(private))

    def sign(self, message: bytes) -> bytes:
        """The signature over ``message``, in DER."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return bytes(self._private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))

    def statement(self, document: dict[str, Any]) -> str:
        """The text of the file that holds this in-toto Statement, signed."""
        signature = self.sign(dsse.pae(dsse.PAYLOAD_TYPE, dsse.payload(document)))
        return dsse.write(document, self.public, signature)


def new_key(home: Path, name: str) -> p256.PublicKey:
    """Make a key and keep it in ``home``. Raises SigningError; a key that is there is never overwritten."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise SigningError(MISSING) from None
    if not NAME.fullmatch(name):
        raise SigningError(f"a key cannot be called {name[:80]!r}: letters, digits and . _ @ + - only")
    folder = home / KEYS
    place, public_place = folder / f"{name}.pem", folder / f"{name}.pub"
    private = ec.generate_private_key(ec.SECP256R1())
    public = p256.from_der(_der(private))
    text = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = folder / f".{name}.{os.getpid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, place)  # whole or not at all, and never over another
        finally:
            draft.unlink()
        public_place.write_text(public.pem, encoding="ascii")
    except FileExistsError:
        raise SigningError(f"there is a key named {name} already ({place}); a key is never overwritten") from None
    except OSError as error:
        raise SigningError(f"the key cannot be kept in {folder}: {error.strerror}") from None
    return public


def signing_keys(home: Path) -> list[Path]:
    """The private keys one may sign bundles with, by name."""
    return sorted(path for path in (home / KEYS).glob("*.pem") if path.stem != WITNESS)


def load(path: Path) -> Signer:
    """The key in a PEM file, by the name of that file. Raises SigningError."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise SigningError(MISSING) from None
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_bytes()
    except OSError as error:
        raise SigningError(f"the key {path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise SigningError(f"the key {path} can be read by others (mode {mode:o}); first: chmod 600 {path}")
    try:
        private = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError) as error:
        raise SigningError(f"{path} is not a private key without a password: {error}") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise SigningError(f"{path} is not an ECDSA P-256 key; make one with: assay key new")
    if not NAME.fullmatch(path.stem):
        raise SigningError(f"{path} has no name that a signer can have: letters, digits and . _ @ + - only")
    return Signer(path.stem, private)


def chosen(home: Path, wanted: str = "") -> Signer | None:
    """The key to sign with: the one ``wanted`` by name or file, else the only one there is; None where there is none.
    Raises SigningError."""
    if wanted:
        named = home / KEYS / f"{wanted}.pem"
        if wanted == WITNESS:
            raise SigningError("the server's witness key signs what it witnesses and nothing else; make another")
        place = named if NAME.fullmatch(wanted) and named.is_file() else Path(wanted)
        if not place.is_file():
            raise SigningError(
                f"there is no key {wanted!r} in {home / KEYS}, and no such file; assay key list has them"
            )
        return load(place)
    keys = signing_keys(home)
    if len(keys) > 1:
        names = ", ".join(path.stem for path in keys)
        raise SigningError(f"there are several keys ({names}); say which with --key NAME or ASSAY_KEY=NAME")
    return load(keys[0]) if keys else None


def witness_key(home: Path) -> Signer:
    """The server's own key, made when it is first needed. Raises SigningError."""
    place = home / KEYS / f"{WITNESS}.pem"
    if not place.exists():
        new_key(home, WITNESS)
    return load(place)


def attest(folder: Path, signer: Signer) -> None:
    """Put the model signature and the provenance beside the seal of the bundle in ``folder``. Raises SigningError where
    somebody else did already."""
    bundle = Bundle(folder)
    for name in attestations.AT_SEALING:
        try:
            other = dsse.read(bundle.bytes(name)).keyid if name in bundle.files else signer.public.fingerprint
        except dsse.Malformed as error:
            raise SigningError(f"{name} is there and cannot be read: {error}") from None
        if other != signer.public.fingerprint:
            raise SigningError(f"{folder.name} is signed already, by the key {other}")
    statements = {
        attestations.MODEL: attestations.model_statement(bundle),
        attestations.PROVENANCE: attestations.provenance_statement(bundle, signer.name),
    }
    for name, document in statements.items():
        _write(folder, name, signer.statement(document))


def attest_verdict(folder: Path, signer: Signer, verdict: Verdict) -> str:
    """Put a signed verdict beside the seal; returns its file."""
    return _later(folder, "verdict", signer, attestations.verdict_statement(Bundle(folder), verdict))


def attest_replay(folder: Path, signer: Signer, verdict: Verdict) -> str:
    """Vouch for ``replay/result.json``; returns the statement's file. Raises SigningError."""
    if REPLAY not in Bundle(folder).files:
        raise SigningError(f"there is no {REPLAY} in {folder.name} to sign; make one with: assay replay {folder.name}")
    return _later(folder, "replay", signer, attestations.replay_statement(Bundle(folder), verdict))


def public_key(path: Path) -> p256.PublicKey:
    """The public key of a PEM file of either half. Raises SigningError or TrustError."""
    if path.suffix == ".pem" and path.with_suffix(".pub").is_file():
        path = path.with_suffix(".pub")
    try:
        return read_public(path)
    except TrustError:
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            return load(path).public
        raise


def _later(folder: Path, what: str, signer: Signer, document: dict[str, Any]) -> str:
    name = f"{attestations.FOLDER}/{what}-{signer.public.fingerprint[:16]}{attestations.SUFFIX}"
    _write(folder, name, signer.statement(document))
    return name


def _write(folder: Path, name: str, text: str) -> None:
    place = folder / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(text, encoding="utf-8", newline="")
    place.chmod(0o644)


def _der(private: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    public = private.public_key()
    return bytes(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
