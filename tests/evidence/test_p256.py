"""Signatures are verified by a bare Python exactly as cryptography verifies them."""

from __future__ import annotations

import base64
import hashlib
from itertools import count

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import p256

ALGORITHM = ec.ECDSA(hashes.SHA256())


def der_of(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pair(secret: int) -> tuple[ec.EllipticCurvePrivateKey, p256.PublicKey]:
    private = ec.derive_private_key(secret, ec.SECP256R1())
    return private, p256.from_der(der_of(private.public_key()))


def accepted(private: ec.EllipticCurvePrivateKey, signature: bytes, message: bytes) -> bool:
    try:
        private.public_key().verify(signature, message, ALGORITHM)
    except InvalidSignature:
        return False
    return True


PRIVATE, PUBLIC = pair(0xC0FFEE)
SIGNATURE = PRIVATE.sign(b"hello", ALGORITHM)


@settings(max_examples=25, deadline=None)
@given(secret=st.integers(1, p256.N - 1), message=st.binary(max_size=200), other=st.binary(max_size=200))
def test_what_cryptography_signs_verifies_and_nothing_else_does(secret: int, message: bytes, other: bytes) -> None:
    private, public = pair(secret)
    signature = private.sign(message, ALGORITHM)
    assert public.verifies(signature, message)
    assert public.verifies(signature, other) == (message == other)
    assert not PUBLIC.verifies(signature, message) or secret == 0xC0FFEE


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_signature_with_any_change_is_judged_as_cryptography_judges_it(data: st.DataObject) -> None:
    changed = bytearray(SIGNATURE)
    act = data.draw(st.sampled_from(["flip", "drop", "insert", "cut"]))
    place = data.draw(st.integers(0, len(changed) - 1))
    if act == "flip":
        changed[place] ^= data.draw(st.integers(1, 255))
    elif act == "drop":
        del changed[place]
    elif act == "insert":
        changed.insert(place, data.draw(st.integers(0, 255)))
    else:
        del changed[place:]
    assert PUBLIC.verifies(bytes(changed), b"hello") == accepted(PRIVATE, bytes(changed), b"hello")


NUMBERS = st.one_of(
    st.sampled_from([0, 1, p256.N - 1, p256.N, p256.N + 1, p256.P, 2**256 - 1, -1]), st.integers(1, p256.N - 1)
)


@settings(max_examples=60, deadline=None)
@given(r=NUMBERS, s=NUMBERS)
def test_no_pair_of_numbers_verifies_by_chance(r: int, s: int) -> None:
    if r >= 0 and s >= 0:
        assert not PUBLIC.verifies(encode_dss_signature(r, s), b"hello")


@pytest.mark.parametrize("secret", [1, 2, 3, p256.N - 1, p256.N - 2])
def test_keys_whose_points_meet_the_generators(secret: int) -> None:
    """Q = G, -G and their like take the paths of doubling and of infinity."""
    private, public = pair(secret)
    for message in (b"", b"a", b"b", b"c"):
        assert public.verifies(private.sign(message, ALGORITHM), message)


def test_a_sum_that_is_infinite_is_no_signature() -> None:
    """Of the key -G: u1 = u2, so that u1 G + u2 Q is infinity."""
    _, public = pair(p256.N - 1)
    e = int.from_bytes(hashlib.sha256(b"x").digest(), "big") % p256.N
    assert not public.verifies(encode_dss_signature(e, 1), b"x")


def test_a_known_vector() -> None:
    """RFC 6979, A.2.5: P-256, SHA-256, "sample" and "test"."""
    key = p256.PublicKey(
        0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
        0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
    )
    assert p256.from_der(key.der) == key
    for message, r, s in (
        (b"sample", 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
         0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8),
        (b"test", 0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
         0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083),
    ):  # fmt: skip
        assert key.verifies(encode_dss_signature(r, s), message)
        assert not key.verifies(encode_dss_signature(s, r), message)


R, S = (int.from_bytes(part, "big") for part in (b"\x70" * 32, b"\x71" * 32))
GOOD = encode_dss_signature(R, S)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\x30",
        SIGNATURE + b"\x00",
        SIGNATURE[:-1],
        b"\x31" + SIGNATURE[1:],
        b"\x30\x81" + SIGNATURE[1:],
        b"\x30\x80" + SIGNATURE[2:] + b"\x00\x00",
        b"\x30\x45\x02\x21\x00" + b"\x70" * 32 + GOOD[36:],
        b"\x30\x06\x02\x01\x81\x02\x01\x01",
        b"\x30\x04\x02\x00\x02\x00",
        bytes(64),
    ],
    ids=count(),
)
def test_a_malformed_encoding_is_no_signature(signature: bytes) -> None:
    assert not PUBLIC.verifies(signature, b"hello")


def test_keys_round_trip() -> None:
    assert p256.from_pem(PUBLIC.pem) == p256.from_der(PUBLIC.der) == PUBLIC
    pem = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert PUBLIC.pem.encode() == pem
    assert PUBLIC.fingerprint == hashlib.sha256(der_of(PRIVATE.public_key())).hexdigest()


def spki(x: int, y: int) -> bytes:
    return PUBLIC.der[:27] + x.to_bytes(32, "big") + y.to_bytes(32, "big")


COMPRESSED = PRIVATE.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)


@pytest.mark.parametrize(
    "der",
    [
        b"",
        PUBLIC.der[:-1],
        PUBLIC.der + b"\x00",
        der_of(ec.generate_private_key(ec.SECP384R1()).public_key()),
        der_of(ec.generate_private_key(ec.SECP256K1()).public_key()),
        spki(0, 0),
        spki(PUBLIC.x, PUBLIC.y ^ 1),
        spki(PUBLIC.x + p256.P if PUBLIC.x + p256.P < 2**256 else p256.P, PUBLIC.y),
        spki(5, p256.P),
        PUBLIC.der[:26] + COMPRESSED,
    ],
    ids=count(),
)
def test_what_is_no_point_of_the_curve_is_no_key(der: bytes) -> None:
    with pytest.raises(p256.NoKey):
        p256.from_der(der)


@pytest.mark.parametrize(
    "text",
    [
        "",
        PUBLIC.pem + PUBLIC.pem,
        "a comment\n" + PUBLIC.pem,
        PUBLIC.pem.replace("PUBLIC", "PRIVATE"),
        PUBLIC.pem.replace("=", ""),
        PUBLIC.pem.replace("\n", "\r\n"),
        "-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(PUBLIC.der).decode()[:60] + "\n"
        + base64.b64encode(PUBLIC.der).decode()[60:] + "\n-----END PUBLIC KEY-----\n",
    ],
    ids=count(),
)  # fmt: skip
def test_what_is_not_one_pem_block_is_no_key(text: str) -> None:
    with pytest.raises(p256.NoKey):
        p256.from_pem(text)
