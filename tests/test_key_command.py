"""``assay key`` and ``assay sign``: keys are made, shown and trusted; every refusal is one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from assay.cli import main
from evidence import signing, trust
from tests import runs


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {
        "ASSAY_HOME": tmp_path / "home",
        "ASSAY_SUBMISSIONS": tmp_path / "bundles",
        "ASSAY_KEY": "",
    }.items():
        monkeypatch.setenv(name, str(value))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = runs.new_run(tmp_path_factory.mktemp("runs"), name="tiny")
    assert runs.record(run) == 0
    return run


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return "".join(capsys.readouterr())


def test_a_key_is_made_shown_and_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "new", "--name", "alice"]) == 0
    fingerprint = trust.read_public(home / "keys" / "alice.pub").fingerprint
    assert f"Fingerprint {fingerprint}\n" in said(capsys)
    assert main(["key", "show"]) == 0
    assert said(capsys) == (home / "keys" / "alice.pub").read_text() + f"Fingerprint {fingerprint}\n"
    signing.witness_key(home)
    assert main(["key", "list"]) == 0
    own, witness = [line for line in said(capsys).splitlines() if "repository" not in line]
    assert own == f"{fingerprint}  signer   alice  (own)"
    assert "a witness is somebody else" in witness


def test_a_key_is_trusted_by_file_or_by_the_fingerprint_of_one_that_lies_here(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = signing.new_key(tmp_path / "other", "bob")
    assert main(["key", "trust", str(tmp_path / "other" / "keys" / "bob.pub"), "--name", "bob"]) == 0
    assert public.fingerprint in said(capsys)
    witness = signing.witness_key(home).public
    assert main(["key", "trust", witness.fingerprint, "--name", "lab", "--witness"]) == 0
    assert {(key.name, key.role) for key in trust.known(home).keys} == {("bob", "signer"), ("lab", "witness")}
    into = tmp_path / "repository.json"
    assert main(["key", "trust", public.fingerprint, "--name", "bob", "--into", str(into)]) == 0
    assert json.loads(into.read_text())["keys"][0]["name"] == "bob"
    assert main(["key", "trust", public.fingerprint, "--name", "bob", "--revoked", "a laptop was stolen"]) == 0
    found = trust.known(home).find(public.fingerprint, "signer")
    assert found is not None
    assert found.revoked == "a laptop was stolen"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["new", "--name", "a b"], "a key cannot be called 'a b'"),
        (["new", "--name", "alice"], "there is a key named alice already"),
        (["show", "bob"], "there is no key 'bob' in "),
        (["trust", "nowhere.pub", "--name", "x"], "'nowhere.pub' is neither a file nor a fingerprint"),
        (["trust", "ab" * 32, "--name", "x"], "a fingerprint recognises a key and cannot replace it"),
        (["trust", __file__, "--name", "x"], "not one PEM block"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    signing.new_key(home, "alice")
    assert main(["key", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert why in told.err
    assert told.err.count("\n") == 1


def test_a_bundle_is_sealed_signed_and_verified_by_somebody_else(
    home: Path, ended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = signing.new_key(home, "alice")
    assert main(["seal", str(ended)]) == 0
    assert "signed by alice" in said(capsys)
    assert main(["sign", "tiny"]) == 0
    place = tmp_path / "bundles" / "tiny"
    name = f"verdict-{public.fingerprint[:16]}.sigstore.json"
    assert (place / "attestations" / name).is_file()
    assert main(["sign", "tiny", "--replay"]) == 2
    assert "there is no replay/result.json in tiny to sign" in said(capsys)
    pins = tmp_path / "pins.json"
    trust.pin(pins, trust.Pin("alice", "signer", public.pem))
    for keys, result in ((["--trusted-keys", str(pins)], "pass"), ([], "pass")):
        assert main(["verify", "tiny", "--quick", "--json", *keys]) == 0
        results = {item["id"]: item["result"] for item in json.loads(said(capsys))["results"]}
        assert results["SIG-05"] == result
    shutil.rmtree(home)
    assert main(["verify", "tiny"]) == 0
    assert "which calls itself alice: unknown here" in said(capsys)
    assert main(["verify", "tiny", "--trusted-keys", str(tmp_path / "none.json")]) == 2
    assert main(["sign", "tiny"]) == 2
    assert "make one with: assay key new" in said(capsys)


def test_a_bundle_can_be_left_unsigned_though_there_is_a_key(
    home: Path, ended: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signing.new_key(home, "alice")
    assert main(["seal", str(ended), "--name", "plain", "--unsigned"]) == 0
    assert not (tmp_path / "bundles" / "plain" / "attestations").exists()
    assert main(["sign", "plain", "--as-maker"]) == 0
    assert "Signed plain and its provenance" in said(capsys)
    signing.new_key(home, "bob")
    assert main(["sign", "plain", "--as-maker", "--key", "bob"]) == 2
    assert "plain is signed already, by the key" in said(capsys)
    assert main(["seal", str(ended), "--name", "other"]) == 2
    assert "there are several keys (alice, bob)" in said(capsys)
    assert main(["seal", str(ended), "--name", "other", "--key", "bob"]) == 0
    assert "signed by bob" in said(capsys)
