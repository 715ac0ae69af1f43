"""ECDSA over P-256 with SHA-256: verifying only, in the standard library, so that a bare Python can.

Nothing here is secret, so nothing here need take constant time. There is one accepted encoding of a key (91 bytes of
SubjectPublicKeyInfo with an uncompressed point) and one of a signature (minimal DER): what parsers disagree about is
refused.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200" + "04")
"""Everything of a key's DER before x and y: the algorithm, the curve, and "uncompressed"."""
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\n((?:[A-Za-z0-9+/=]{1,64}\n)+)-----END PUBLIC KEY-----\n?")

_Point = tuple[int, int, int]
"""Jacobian coordinates; z = 0 is infinity."""
_INFINITY: _Point = (1, 1, 0)


class NoKey(ValueError):
    """Not a public key on P-256; ``str()`` says what is wrong."""


@dataclass(frozen=True)
class PublicKey:
    """A point of the curve, never infinity. Make one with ``from_der`` or ``from_pem``."""

    x: int
    y: int

    @property
    def der(self) -> bytes:
        return _SPKI + self.x.to_bytes(32, "big") + self.y.to_bytes(32, "big")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the DER SubjectPublicKeyInfo."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def pem(self) -> str:
        text = base64.b64encode(self.der).decode()
        lines = [text[start : start + 64] for start in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` (DER) over ``message`` was made with this key's private half."""
        numbers = _signature(signature)
        if numbers is None:
            return False
        r, s = numbers
        if not (0 < r < N and 0 < s < N):
            return False
        e = int.from_bytes(hashlib.sha256(message).digest(), "big")
        inverse = pow(s, -1, N)
        x, _, z = _sum_of_multiples(e * inverse % N, r * inverse % N, (self.x, self.y, 1))
        if z == 0:
            return False
        return x * pow(z, -2, P) % P % N == r


def from_der(der: bytes) -> PublicKey:
    """The key in a SubjectPublicKeyInfo. Raises NoKey."""
    if len(der) != len(_SPKI) + 64 or not der.startswith(_SPKI):
        raise NoKey("not an ECDSA P-256 public key with an uncompressed point")
    x, y = int.from_bytes(der[-64:-32], "big"), int.from_bytes(der[-32:], "big")
    if x >= P or y >= P or (y * y - x * x * x + 3 * x - B) % P:
        raise NoKey("its point is not on the curve P-256")
    return PublicKey(x, y)


def from_pem(text: str) -> PublicKey:
    """The key in a PEM text that holds nothing else. Raises NoKey."""
    match = _PEM.fullmatch(text)
    if match is None:
        raise NoKey("not one PEM block of a PUBLIC KEY")
    try:
        key = from_der(base64.b64decode(match[1].replace("\n", ""), validate=True))
    except ValueError as error:
        raise error if isinstance(error, NoKey) else NoKey("its base64 is broken") from None
    if key.pem.rstrip("\n") != text.rstrip("\n"):
        raise NoKey("its PEM is not in the usual lines of 64 characters")
    return key


def _signature(der: bytes) -> tuple[int, int] | None:
    """r and s of a SEQUENCE of two INTEGERs in minimal DER that ends where its bytes do; else None."""
    if len(der) < 2 or der[0] != 0x30 or der[1] > 0x7F or der[1] != len(der) - 2:
        return None
    found, rest = [], der[2:]
    for _ in range(2):
        if len(rest) < 2 or rest[0] != 0x02 or not 1 <= rest[1] <= 33 or len(rest) < 2 + rest[1]:
            return None
        body, rest = rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
        if body[0] & 0x80 or (len(body) > 1 and body[0] == 0 and not body[1] & 0x80):
            return None  # negative, or a zero in front that nothing asks for
        found.append(int.from_bytes(body, "big"))
    return None if rest else (found[0], found[1])


def _sum_of_multiples(first: int, second: int, point: _Point) -> _Point:
    """``first`` times G plus ``second`` times ``point``, a bit of both at a time."""
    generator: _Point = (*G, 1)
    terms = {1: generator, 2: point, 3: _add(generator, point)}
    total = _INFINITY
    for bit in range(max(first.bit_length(), second.bit_length()) - 1, -1, -1):
        total = _double(total)
        if which := (first >> bit & 1) | (second >> bit & 1) << 1:
            total = _add(total, terms[which])
    return total


def _double(point: _Point) -> _Point:
    x, y, z = point
    if z == 0 or y == 0:
        return _INFINITY
    square, z2 = y * y % P, z * z % P
    between = 4 * x * square % P
    slope = 3 * (x - z2) * (x + z2) % P  # the curve's a is -3
    new = (slope * slope - 2 * between) % P
    return new, (slope * (between - new) - 8 * square * square) % P, 2 * y * z % P


def _add(first: _Point, second: _Point) -> _Point:
    if first[2] == 0:
        return second
    if second[2] == 0:
        return first
    (x1, y1, z1), (x2, y2, z2) = first, second
    z1z1, z2z2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * z2z2 % P, x2 * z1z1 % P
    s1, s2 = y1 * z2 * z2z2 % P, y2 * z1 * z1z1 % P
    if u1 == u2:
        return _double(first) if s1 == s2 else _INFINITY
    h, r = u2 - u1, s2 - s1
    hh = h * h % P
    hhh, v = h * hh % P, u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * hhh) % P, h * z1 * z2 % P
