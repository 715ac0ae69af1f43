"""DSSE envelopes in Sigstore bundles: who signed which bytes, and as what they were meant.

Every signed statement lies in one form, the Sigstore bundle (v0.3) that model-signing and cosign read: a DSSE envelope
around an in-toto Statement, and a hint at the key, never the key. Types are exact, and so are the bytes: a file that
says the same in another spelling is refused.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from evidence import canonical, p256, typed
from evidence.typed import Rule, Sha256

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

Base64 = Annotated[str, Rule("base64", pattern=r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")]


class Malformed(ValueError):
    """Not a statement of the one form; ``problems`` are (where, expected, found)."""

    def __init__(self, *problems: tuple[str, str, str]) -> None:
        self.problems = problems
        super().__init__(
            "; ".join(f"{where}: expected {expected}, found {found}" for where, expected, found in problems)
        )


@dataclass(frozen=True)
class Signature:
    """``keyid``: SHA-256 of the key's SubjectPublicKeyInfo."""

    keyid: Sha256
    sig: Base64


@dataclass(frozen=True)
class Envelope:
    payload: Base64
    payloadType: Literal["application/vnd.in-toto+json"]
    signatures: list[Signature]


@dataclass(frozen=True)
class Hint:
    """SHA-256 of the key's PEM, as model-signing has it."""

    hint: Sha256


@dataclass(frozen=True)
class Material:
    publicKey: Hint
    tlogEntries: list[str]


@dataclass(frozen=True)
class SigstoreBundle:
    mediaType: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verificationMaterial: Material
    dsseEnvelope: Envelope


@dataclass(frozen=True)
class Digest:
    sha256: Sha256


@dataclass(frozen=True)
class Subject:
    name: str
    digest: Digest


@dataclass(frozen=True)
class Statement:
    """An in-toto Statement v1; ``predicate`` is read by whoever knows its type."""

    _type: Literal["https://in-toto.io/Statement/v1"]
    subject: list[Subject]
    predicateType: str
    predicate: Any


@dataclass(frozen=True)
class Signed:
    """A statement as it was read; ``signature`` is over ``message``. It says nothing of whether that verifies."""

    statement: Statement
    document: dict[str, Any]
    keyid: str
    hint: str
    message: bytes
    signature: bytes

    def verifies(self, key: p256.PublicKey) -> bool:
        return self.hint == pem_digest(key) and key.verifies(self.signature, self.message)


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is really signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def pem_digest(key: p256.PublicKey) -> str:
    return hashlib.sha256(key.pem.encode()).hexdigest()


def statement(subject: list[tuple[str, str]], predicate_type: str, predicate: dict[str, Any]) -> dict[str, Any]:
    """The document of a Statement about files by name and SHA-256."""
    subjects = [{"name": name, "digest": {"sha256": digest}} for name, digest in subject]
    return {"_type": STATEMENT_TYPE, "subject": subjects, "predicateType": predicate_type, "predicate": predicate}


def write(document: dict[str, Any], key: p256.PublicKey, signature: bytes) -> str:
    """The text of a file that holds a signed Statement."""
    return canonical.pretty(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": pem_digest(key)}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload(document)).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"keyid": key.fingerprint, "sig": base64.b64encode(signature).decode()}],
            },
        }
    )


def payload(document: dict[str, Any]) -> bytes:
    return canonical.encode(document).encode()


def read(data: bytes) -> Signed:
    """The signed Statement in a file's bytes. Raises Malformed."""
    document = _decode(data, "")
    bundle: SigstoreBundle = _typed(SigstoreBundle, document, "$")
    if canonical.pretty(document).encode() != data:
        raise Malformed(("", "sorted keys, two spaces, final newline", "another spelling"))
    if bundle.verificationMaterial.tlogEntries:
        raise Malformed(("$.verificationMaterial.tlogEntries", "none", "entries that nobody here can check"))
    envelope = bundle.dsseEnvelope
    if len(envelope.signatures) != 1:
        raise Malformed(("$.dsseEnvelope.signatures", "one signature", str(len(envelope.signatures))))
    [signature] = envelope.signatures
    body, sig = base64.b64decode(envelope.payload), base64.b64decode(signature.sig)
    for where, decoded, text in (("payload", body, envelope.payload), ("signatures[0].sig", sig, signature.sig)):
        if base64.b64encode(decoded).decode() != text:
            raise Malformed((f"$.dsseEnvelope.{where}", "base64 without stray bits", "another spelling"))
    said = _decode(body, "the payload")
    read: Statement = _typed(Statement, said, "the payload")
    if payload(said) != body:
        raise Malformed(("the payload", "canonical JSON", "another spelling"))
    message = pae(envelope.payloadType, body)
    return Signed(read, said, signature.keyid, bundle.verificationMaterial.publicKey.hint, message, sig)


def _decode(data: bytes, where: str) -> Any:
    try:
        return canonical.decode(data)
    except canonical.JsonError as error:
        raise Malformed((where, "strict JSON", str(error))) from None


def _typed(cls: type, document: Any, where: str) -> Any:
    try:
        return typed.read(cls, document, where)
    except typed.WrongDocument as error:
        raise Malformed(*((item.where, item.expected, item.found) for item in error.problems)) from None
