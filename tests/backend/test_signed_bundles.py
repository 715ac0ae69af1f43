"""What the page is told of a bundle's signatures, by whose keys this server believes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from backend.bundles.answers import Signature
from backend.bundles.library import Library
from evidence import attestations, reading, signing, trust
from evidence.provenance import REPOSITORY
from evidence.verify import verify

BUNDLE = REPOSITORY / "submission_runs" / "demo_reasoning_v1"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A folder of bundles with one, signed by the key called lab below ``tmp_path``."""
    pytest.importorskip("cryptography")
    folder = tmp_path / "bundles" / BUNDLE.name
    shutil.copytree(BUNDLE, folder, ignore=shutil.ignore_patterns(*reading.BESIDE_THE_SEAL))
    signing.new_key(tmp_path, "lab")
    signing.attest(folder, signing.load(signing.signing_keys(tmp_path)[0]))
    return folder


def told(folder: Path, believed: trust.Trust) -> Signature:
    home = folder.parent.parent
    return Library(folder.parent, home / "imported", home / "replays", lambda: believed).bundle(folder.name).signature


def test_an_unsigned_bundle_is_unsigned(signed: Path) -> None:
    shutil.rmtree(signed / attestations.FOLDER)
    signature = told(signed, trust.Trust())
    assert (signature.state, signature.key_sha256, signature.statements) == ("unsigned", "", [])


def test_a_signer_is_named_only_when_its_key_is_trusted(signed: Path, tmp_path: Path) -> None:
    trusted, unknown = told(signed, trust.own(tmp_path)), told(signed, trust.Trust())
    assert (trusted.state, trusted.signer) == ("trusted", "lab")
    assert (unknown.state, unknown.signer) == ("unknown", "")
    assert trusted.key_sha256 == unknown.key_sha256 != ""
    assert {item.file: item.state for item in trusted.statements} == dict.fromkeys(attestations.AT_SEALING, "trusted")


def test_statements_after_the_seal_say_what_they_are(signed: Path, tmp_path: Path) -> None:
    signing.attest_verdict(signed, signing.load(signing.signing_keys(tmp_path)[0]), verify(signed))
    [later] = [item for item in told(signed, trust.own(tmp_path)).statements if "verdict" in item.file]
    assert (later.state, later.signer, later.says) == ("trusted", "lab", "a verifier's verdict over the seal")


@pytest.mark.parametrize("damage", [b"{}", b"\xff"])
def test_a_broken_statement_makes_the_signature_invalid(signed: Path, tmp_path: Path, damage: bytes) -> None:
    (signed / attestations.PROVENANCE).write_bytes(damage)
    signature = told(signed, trust.own(tmp_path))
    assert (signature.state, signature.signer) == ("invalid", "")


def test_a_file_that_is_signed_over_makes_it_invalid(signed: Path, tmp_path: Path) -> None:
    (signed / "README.md").write_text("Other words.\n")
    assert told(signed, trust.own(tmp_path)).state == "invalid"


def test_a_stray_file_beside_the_statements_makes_it_invalid(signed: Path, tmp_path: Path) -> None:
    (signed / attestations.FOLDER / "note.txt").write_text("trust me\n")
    signature = told(signed, trust.own(tmp_path))
    assert signature.state == "invalid"
    assert [item.says for item in signature.statements if item.file.endswith("note.txt")] == [
        "a statement that this version does not know"
    ]


def test_a_key_that_only_the_repository_names_is_no_known_signer(signed: Path, tmp_path: Path) -> None:
    committed = trust.Trust(tuple(replace(key, own=False, committed=True) for key in trust.own(tmp_path).keys))
    signature = told(signed, committed)
    assert (signature.state, signature.signer) == ("unknown", "lab")
