"""Whoever signs stands for these bytes; whoever changes what is signed, or who signed it, is caught by a named check."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence import (
    attestations,
    bundle,
    canonical,
    dsse,
    events,
    manifest,
    p256,
    reading,
    receipts,
    report,
    rundir,
    signing,
    trust,
    typed,
)
from evidence.attestations import MODEL, PROVENANCE
from evidence.known import Known
from evidence.signing import Signer
from evidence.trust import SIGNER, WITNESS, Key, Pin, Trust, TrustError
from evidence.verdict import NOT_RUN, PASS, WARN, CheckResult, Claim, Verdict
from evidence.verify import verify
from tests.evidence import tamper
from tests.evidence.tamper import Change

RECEIPTS = reading.RECEIPTS


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A data folder each for Alice, Mallory and a witness on another machine, with a key in it."""
    found = {}
    for name in ("alice", "mallory"):
        found[name] = tmp_path_factory.mktemp(name)
        signing.new_key(found[name], name)
    found["witness"] = tmp_path_factory.mktemp("witness")
    signing.new_key(found["witness"], "witness")
    return found


@pytest.fixture(scope="session")
def alice(homes: dict[str, Path]) -> Signer:
    signer = signing.chosen(homes["alice"])
    assert signer
    return signer


@pytest.fixture(scope="session")
def mallory(homes: dict[str, Path]) -> Signer:
    signer = signing.chosen(homes["mallory"])
    assert signer
    return signer


@pytest.fixture(scope="session")
def witness(homes: dict[str, Path]) -> Signer:
    return signing.witness_key(homes["witness"])


@pytest.fixture(scope="session")
def witnessed_run(ended_run: Path, witness: Signer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ended run as it would be, had somebody elsewhere issued its nonce and seen every fifth row."""
    run = Path(shutil.copytree(ended_run, tmp_path_factory.mktemp("witnessed") / ended_run.name))
    ask = rundir.read_ask(run)
    rows = [event for line in (run / rundir.EVENTS).read_bytes().splitlines()
            if isinstance(event := events.decode(line), events.Step)]  # fmt: skip
    documents: list[dict[str, Any]] = [
        {"kind": "issued", "run_id": ask.run_id, "nonce": ask.nonce, "spec_sha256": ask.spec_sha256,
         "at": ask.created_at, "key": witness.public.fingerprint, "host_sha256": canonical.sha256(b"elsewhere")}
    ]  # fmt: skip
    for row in rows[4::5]:
        at = events.stamp(events.instant(row.time) + timedelta(seconds=0.5))
        documents.append({"kind": "head", "run_id": ask.run_id, "nonce": ask.nonce, "step": row.step,
                          "head": row.hash, "at": at})  # fmt: skip
    (run / rundir.WITNESS).write_text(countersigned(documents, witness))
    return run


def countersigned(documents: list[dict[str, Any]], signer: Signer) -> str:
    """Receipts chained and signed as a witness does it."""
    text, before = "", ""
    for document in documents:
        document = {key: value for key, value in document.items() if key not in ("prev", "signature")}
        if document["kind"] == "head":
            document["prev"] = receipts.digest(before)
        before = receipts.line(document, signer.sign(receipts.message(document)))
        text += before + "\n"
    return text


@pytest.fixture(scope="session")
def signed(witnessed_run: Path, alice: Signer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A witnessed run's bundle, signed by Alice. Never change it: take a ``copy_signed``."""
    return bundle.seal(witnessed_run, tmp_path_factory.mktemp("signed"), "tiny", alice)


@pytest.fixture
def fresh(signed: Path, tmp_path: Path) -> Callable[[], Path]:
    count = iter(range(1_000_000))
    return lambda: Path(shutil.copytree(signed, tmp_path / str(next(count)) / "tiny"))


@pytest.fixture(scope="session")
def believed(alice: Signer, witness: Signer) -> Trust:
    return Trust((Key("alice", SIGNER, alice.public), Key("observatory", WITNESS, witness.public)))


def judged(folder: Path, trusted: Trust) -> tuple[Verdict, dict[str, CheckResult]]:
    verdict = verify(folder, known=Known(trust=trusted))
    return verdict, {result.id: result for result in verdict.results}


# What honest people see.


def test_a_signed_and_witnessed_bundle_passes_every_check(signed: Path, believed: Trust) -> None:
    verdict, results = judged(signed, believed)
    assert verdict.failures == ()
    for check in ("SIG-01", "SIG-02", "SIG-03", "SIG-04", "SIG-05", "SIG-06", "PRV-13"):
        assert results[check].result == PASS, results[check]


def test_who_knows_nobody_is_told_so_and_the_level_stays(signed: Path, sealed: Path, believed: Trust) -> None:
    verdict, results = judged(signed, Trust())
    assert verdict.valid
    assert verdict.level == judged(signed, believed)[0].level
    assert results["SIG-05"].result == WARN
    assert any("which calls itself alice" in str(finding) for finding in results["SIG-05"].findings)
    assert (results["SIG-06"].result, results["PRV-13"].result) == (NOT_RUN, WARN)
    assert "assay key trust FILE --name NAME --witness" in results["SIG-06"].reason
    _, unsigned = judged(sealed, Trust())
    assert unsigned["SIG-05"].result == WARN
    assert "nobody signed" in str(unsigned["SIG-05"].findings[0])
    assert {unsigned[check].result for check in ("SIG-01", "SIG-02", "SIG-03", "SIG-04")} == {PASS}
    assert unsigned["SIG-06"].result == NOT_RUN


def test_signing_twice_gives_the_same_bytes(signed: Path, alice: Signer, fresh: Callable[[], Path]) -> None:
    folder = fresh()
    before = {name: (folder / name).read_bytes() for name in attestations.AT_SEALING}
    shutil.rmtree(folder / "attestations")
    signing.attest(folder, alice)
    assert {name: (folder / name).read_bytes() for name in attestations.AT_SEALING} == before


def test_a_bare_python_verifies_signatures(signed: Path, believed: Trust, tmp_path: Path) -> None:
    import subprocess
    import sys

    from tests import runs

    pins = tmp_path / "trusted_keys.json"
    for key in believed.keys:
        trust.pin(pins, Pin(key.name, key.role, key.public.pem))  # type: ignore[arg-type]
    command = [
        sys.executable,
        "-S",
        "-E",
        "-m",
        "evidence",
        "verify",
        str(signed),
        "--trusted-keys",
        str(pins),
        "--json",
    ]
    done = subprocess.run(command, cwd=runs.ROOT, capture_output=True, text=True)
    results = {item["id"]: item["result"] for item in json.loads(done.stdout)["results"]}
    assert {results[check] for check in ("SIG-01", "SIG-02", "SIG-05", "SIG-06")} == {PASS}


def test_a_verdict_and_a_replay_are_vouched_for_later(
    fresh: Callable[[], Path], alice: Signer, mallory: Signer, believed: Trust
) -> None:
    folder = fresh()
    (folder / "replay").mkdir()
    (folder / reading.REPLAY).write_text('{\n  "seal": "x"\n}\n')
    verdict, _ = judged(folder, believed)
    name = signing.attest_verdict(folder, alice, verdict)
    assert name.startswith("attestations/verdict-")
    signing.attest_replay(folder, mallory, verdict)
    known = Known(trust=believed)
    assert trust.vouched(reading.Bundle(folder, known), reading.REPLAY) == ""
    signing.attest_replay(folder, alice, verdict)
    assert trust.vouched(reading.Bundle(folder, known), reading.REPLAY) == "alice"
    assert trust.vouched(reading.Bundle(folder), reading.REPLAY) == ""
    committed = Known(trust=Trust((Key("alice", SIGNER, alice.public, committed=True),)))
    assert trust.vouched(reading.Bundle(folder, committed), reading.REPLAY) == ""
    verdict, results = judged(folder, believed)
    assert verdict.failures == ()
    assert results["SIG-05"].result == WARN  # Mallory's
    (folder / reading.REPLAY).write_text('{\n  "seal": "y"\n}\n')
    assert trust.vouched(reading.Bundle(folder, known), reading.REPLAY) == ""
    assert {result.id for result in judged(folder, believed)[0].failures} == {"SIG-02"}


def test_a_replay_of_another_bundle_is_not_vouched_for(
    fresh: Callable[[], Path], alice: Signer, believed: Trust
) -> None:
    one, other = fresh(), fresh()
    for folder in (one, other):
        (folder / "replay").mkdir()
        (folder / reading.REPLAY).write_text("{}\n")
    (other / reading.SUMS).write_text((other / reading.SUMS).read_text() + f"{'0' * 64}  x\n")
    name = signing.attest_replay(other, alice, judged(one, believed)[0])
    shutil.copy(other / name, one / name)
    assert trust.vouched(reading.Bundle(one, Known(trust=believed)), reading.REPLAY) == ""


def test_witness_and_signature_are_claimed_as_far_as_they_are_known(
    signed: Path, sealed: Path, believed: Trust
) -> None:
    def claims(folder: Path, trusted: Trust) -> dict[str, Claim]:
        known = Known(trust=trusted)
        told = report.report(reading.Bundle(folder, known), verify(folder, known=known))
        assert any("No outsider countersigned" in limit for limit in told.limits) == (trusted == Trust())
        return {claim.id: claim for claim in told.claims if claim.id in ("witness", "signature")}

    assert claims(sealed, Trust()) == {}
    found = claims(signed, believed)
    assert {claim.verdict for claim in found.values()} == {"holds"}
    assert found["witness"].said == "observatory, on another machine; 40 of 40 steps seen while they were new"
    assert found["signature"].said.startswith("by alice, key ")
    found = claims(signed, Trust())
    assert {claim.verdict for claim in found.values()} == {"unproven"}
    assert found["signature"].said.startswith("by nobody you know, key ")
    assert "did not pin the witness's key" in found["witness"].unproven_because


# What forgers do. Each may hold a key of their own; Alice's they do not have.


def redo(name: str, act: Callable[[dict[str, Any]], None]) -> Callable[[Path, Signer], None]:
    """Change a statement and sign it again."""

    def change(folder: Path, signer: Signer) -> None:
        document = dsse.read((folder / name).read_bytes()).document
        act(document)
        (folder / name).write_text(signer.statement(document))

    return change


def sign_anew(folder: Path, signer: Signer) -> None:
    """Throw away the signatures that there are, and sign."""
    shutil.rmtree(folder / "attestations")
    signing.attest(folder, signer)


def raw(name: str, act: Callable[[dict[str, Any]], None]) -> Change:
    """Change the file around a statement, and leave its signature."""

    def change(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        act(document)
        (folder / name).write_text(canonical.pretty(document))

    return change


def write(name: str, text: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


def resealed(act: Change) -> Change:
    def change(folder: Path) -> None:
        act(folder)
        tamper.reseal(folder)

    return change


def move(source: str, target: str) -> Change:
    def change(folder: Path) -> None:
        (folder / target).write_bytes((folder / source).read_bytes())

    return change


def resources(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["predicate"]["resources"]
    return found


def reroot(document: dict[str, Any]) -> None:
    document["subject"][0]["digest"]["sha256"] = attestations.root_digest(x["digest"] for x in resources(document))


def both(*acts: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], None]:
    def act(document: dict[str, Any]) -> None:
        for step in acts:
            step(document)

    return act


def external(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["predicate"]["buildDefinition"]["externalParameters"]
    return found


def builder(value: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["predicate"]["runDetails"]["builder"].update(id=value)


SIGNED_AGAIN: list[tuple[str, Callable[[Path, Signer], None], str]] = [
    ("a file that is left out", redo(MODEL, both(lambda d: resources(d).pop(3), reroot)), "SIG-02"),
    ("a file that is not there", redo(MODEL, both(lambda d: resources(d).append({**resources(d)[0], "name": "zz"}), reroot)), "SIG-02"),
    ("a file under another name", redo(MODEL, lambda d: resources(d)[2].update(name="config/other.json")), "SIG-02"),
    ("two files that change places", redo(MODEL, both(lambda d: resources(d).insert(0, resources(d).pop()), reroot)), "SIG-02"),
    ("another digest of a file", redo(MODEL, both(lambda d: resources(d)[2].update(digest=canonical.sha256(b"x")), reroot)), "SIG-02"),
    ("a file listed twice", redo(MODEL, both(lambda d: resources(d).insert(1, resources(d)[0]), reroot)), "SIG-02"),
    ("the root of another tree", redo(MODEL, lambda d: d["subject"][0]["digest"].update(sha256=canonical.sha256(b"x"))), "SIG-02"),
    ("the name of another bundle", redo(MODEL, lambda d: d["subject"][0].update(name="other")), "SIG-02"),
    ("a second subject", redo(PROVENANCE, lambda d: d["subject"].append(d["subject"][0])), "SIG-02"),
    ("more paths that are ignored", redo(MODEL, lambda d: d["predicate"]["serialization"]["ignore_paths"].append("data")), "SIG-02"),
    ("links that are allowed", redo(MODEL, lambda d: d["predicate"]["serialization"].update(allow_symlinks=True)), "SIG-02"),
    ("a weaker hash", redo(MODEL, lambda d: d["predicate"]["serialization"].update(hash_type="blake2")), "SIG-04"),
    ("a field nobody knows", redo(MODEL, lambda d: d["predicate"].update(comment="fine")), "SIG-04"),
    ("a model signature of an old kind", redo(MODEL, lambda d: d.update(predicateType="https://model_signing/Digests/v0.1")), "SIG-04"),
    ("a statement of another version", redo(MODEL, lambda d: d.update(_type="https://in-toto.io/Statement/v0.1")), "SIG-04"),
    ("a field of the statement", redo(MODEL, lambda d: d.update(more=1)), "SIG-04"),
    ("provenance of another seal", redo(PROVENANCE, lambda d: d["subject"][0]["digest"].update(sha256=canonical.sha256(b"x"))), "SIG-02"),
    ("another seed", redo(PROVENANCE, lambda d: external(d).update(seed=7)), "SIG-03"),
    ("an override that was not asked for", redo(PROVENANCE, lambda d: external(d)["overrides"].update({"training.seed": 1})), "SIG-03"),
    ("a parameter nobody knows", redo(PROVENANCE, lambda d: external(d).update(approved=True)), "SIG-03"),
    ("a parameter left out", redo(PROVENANCE, lambda d: external(d).pop("effective_config_sha256")), "SIG-03"),
    ("another commit", redo(PROVENANCE, lambda d: d["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"].update(gitCommit="0123456789" * 4)), "SIG-03"),
    ("no data", redo(PROVENANCE, lambda d: d["predicate"]["buildDefinition"]["resolvedDependencies"].pop(1)), "SIG-03"),
    ("another time", redo(PROVENANCE, lambda d: d["predicate"]["runDetails"]["metadata"].update(startedOn="2026-01-01T00:00:00.000000Z")), "SIG-03"),
    ("a builder elsewhere", redo(PROVENANCE, builder("urn:assay:builder:kaggle:alice")), "SIG-03"),
    ("another builder", redo(PROVENANCE, builder("urn:assay:builder:local:bob")), "SIG-03"),
    ("a builder of no kind", redo(PROVENANCE, builder("https://github.com/actions")), "SIG-03"),
    ("provenance of another type", redo(PROVENANCE, lambda d: d.update(predicateType="https://slsa.dev/provenance/v0.2")), "SIG-04"),
    ("provenance as a model signature", lambda f, _: move(PROVENANCE, MODEL)(f), "SIG-04"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "check"), [x[1:] for x in SIGNED_AGAIN], ids=[x[0] for x in SIGNED_AGAIN])
def test_a_statement_that_is_not_the_bundles_is_caught_though_its_signature_holds(
    fresh: Callable[[], Path], alice: Signer, believed: Trust, change: Callable[[Path, Signer], None], check: str
) -> None:
    folder = fresh()
    change(folder, alice)
    failed = {result.id for result in judged(folder, believed)[0].failures}
    assert check in failed
    assert "SIG-01" not in failed


@pytest.mark.parametrize(("change", "check"), [x[1:] for x in SIGNED_AGAIN], ids=[x[0] for x in SIGNED_AGAIN])
def test_it_is_caught_under_a_stranger_key_too(
    fresh: Callable[[], Path], mallory: Signer, believed: Trust, change: Callable[[Path, Signer], None], check: str
) -> None:
    folder = fresh()
    change(folder, mallory)
    assert {result.id for result in judged(folder, believed)[0].failures} & {"SIG-01", check}


ENVELOPE: list[tuple[str, Change, str]] = [
    ("another payload", raw(MODEL, lambda d: d["dsseEnvelope"].update(payload="e30=")), "SIG-04"),
    ("another payload type", raw(MODEL, lambda d: d["dsseEnvelope"].update(payloadType="application/json")), "SIG-04"),
    ("another media type", raw(MODEL, lambda d: d.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2")), "SIG-04"),
    ("no signature", raw(MODEL, lambda d: d["dsseEnvelope"].update(signatures=[])), "SIG-04"),
    ("a second signature", raw(MODEL, lambda d: d["dsseEnvelope"]["signatures"].append(d["dsseEnvelope"]["signatures"][0])), "SIG-04"),
    ("a key in the envelope", raw(MODEL, lambda d: d["verificationMaterial"]["publicKey"].update(rawBytes="AAAA")), "SIG-04"),
    ("a certificate", raw(MODEL, lambda d: d["verificationMaterial"].update(certificate={"rawBytes": "AAAA"})), "SIG-04"),
    ("an entry of a log nobody asks", raw(MODEL, lambda d: d["verificationMaterial"].update(tlogEntries=["x"])), "SIG-04"),
    ("a hint at another key", raw(MODEL, lambda d: d["verificationMaterial"]["publicKey"].update(hint=canonical.sha256(b"x"))), "SIG-01"),
    ("a signature of nothing", raw(MODEL, lambda d: d["dsseEnvelope"]["signatures"][0].update(sig="MAYCAQACAQA=")), "SIG-01"),
    ("another spelling", lambda f: (f / MODEL).write_text(json.dumps(json.loads((f / MODEL).read_text())) + "\n"), "SIG-04"),
    ("a null", raw(MODEL, lambda d: d.update(dsseEnvelope=None)), "SIG-04"),
    ("no JSON", write(MODEL, "-----BEGIN\n"), "SIG-04"),
    ("no model signature", lambda f: (f / MODEL).unlink(), "SIG-01"),
    ("no provenance", lambda f: (f / PROVENANCE).unlink(), "SIG-01"),
    ("a key that comes with the bundle", write("attestations/alice.pub", "-----BEGIN PUBLIC KEY-----\n"), "SIG-04"),
    ("a statement nobody knows", move(MODEL, "attestations/approval.sigstore.json"), "SIG-04"),
    ("a statement in a folder", lambda f: (f / "attestations/more").mkdir() or move(MODEL, f"attestations/more/{Path(MODEL).name}")(f), "SIG-04"),
    ("a model signature as a verdict", move(MODEL, "attestations/verdict-0123456789abcdef.sigstore.json"), "SIG-04"),
    ("a changed file", tamper.edit_text(reading.README, "loss", "Loss"), "SIG-02"),
    ("a changed file, sealed again", resealed(tamper.edit_text("config/declared.yaml", "tiny", "tinY")), "SIG-02"),
    ("a file more, sealed again", resealed(write("data/more.jsonl", "{}\n")), "SIG-02"),
    ("a private key", write("attestations/alice.pem", "-----BEGIN " + "PRIVATE KEY-----\n"), "SEC-01"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "check"), [x[1:] for x in ENVELOPE], ids=[x[0] for x in ENVELOPE])
def test_a_changed_envelope_is_caught(fresh: Callable[[], Path], believed: Trust, change: Change, check: str) -> None:
    folder = fresh()
    change(folder)
    assert check in {result.id for result in judged(folder, believed)[0].failures}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_statement_with_any_byte_changed_is_never_accepted(
    signed: Path, believed: Trust, tmp_path: Path, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([MODEL, PROVENANCE, RECEIPTS]))
    content = bytearray((signed / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    folder = Path(shutil.copytree(signed, tmp_path / "tiny", dirs_exist_ok=True))
    try:
        (folder / name).write_bytes(content)
        assert not verify(folder, known=Known(trust=believed)).valid
    finally:
        shutil.rmtree(folder)


def test_a_forgery_signed_by_another_in_the_same_name_is_caught(
    fresh: Callable[[], Path], homes: dict[str, Path], alice: Signer, believed: Trust, tmp_path: Path
) -> None:
    signing.new_key(tmp_path, "alice")
    forger = signing.chosen(tmp_path)
    assert forger
    folder = fresh()
    tamper.edit_text("config/declared.yaml", "tiny", "tinY")(folder)
    tamper.reseal(folder)
    sign_anew(folder, forger)
    _, results = judged(folder, believed)
    found = {str(finding) for finding in results["SIG-01"].findings}
    assert found == {
        f"{PROVENANCE}: key of alice: expected {alice.public.fingerprint}, found {forger.public.fingerprint}"
    }
    assert results["SIG-05"].result == WARN


def test_a_forgery_by_a_trusted_key_in_anothers_name_is_caught(
    fresh: Callable[[], Path], mallory: Signer, believed: Trust
) -> None:
    folder = fresh()
    sign_anew(folder, mallory)
    redo(PROVENANCE, builder("urn:assay:builder:local:alice"))(folder, mallory)
    both_known = believed + Trust((Key("mallory", SIGNER, mallory.public),))
    failed = {result.id for result in judged(folder, both_known)[0].failures}
    assert failed == {"SIG-01", "SIG-03"}


def test_statements_by_two_keys_are_caught(fresh: Callable[[], Path], mallory: Signer) -> None:
    folder = fresh()
    redo(PROVENANCE, lambda _: None)(folder, mallory)
    assert "SIG-01" in {result.id for result in judged(folder, Trust())[0].failures}


def test_a_revoked_key_counts_no_more(signed: Path, alice: Signer) -> None:
    revoked = Trust((Key("alice", SIGNER, alice.public, revoked="her laptop was stolen"),))
    verdict, results = judged(signed, revoked)
    assert {result.id for result in verdict.failures} == {"SIG-01"}
    assert "her laptop was stolen" in str(results["SIG-01"].findings[0])


def test_a_witness_key_signs_no_bundle(fresh: Callable[[], Path], witness: Signer, believed: Trust) -> None:
    folder = fresh()
    sign_anew(folder, witness)
    assert "SIG-01" in {result.id for result in judged(folder, believed)[0].failures}


# The witness.


def rewitness(act: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Path, Signer], None]:
    """Change the receipts, sign them all again, and make the digests of the bundle agree."""

    def change(folder: Path, signer: Signer) -> None:
        documents = [json.loads(line) for line in (folder / RECEIPTS).read_text().splitlines()]
        act(documents)
        (folder / RECEIPTS).write_text(countersigned(documents, signer))
        manifest = json.loads((folder / reading.MANIFEST).read_text())
        manifest["witness"]["receipt_count"] = len(documents)
        (folder / reading.MANIFEST).write_text(canonical.pretty(manifest))

    return change


def shift(seconds: float) -> Callable[[list[dict[str, Any]]], None]:
    def act(documents: list[dict[str, Any]]) -> None:
        for document in documents[1:]:
            document["at"] = events.stamp(events.instant(document["at"]) + timedelta(seconds=seconds))

    return act


def unsigned_nonce(folder: Path, _: Signer) -> None:
    """One receipt, of the nonce, with the signature of another."""
    tamper.edit_lines(RECEIPTS, lambda d: d[0].update(signature=d[1]["signature"]) or d.__delitem__(slice(1, None)))(
        folder
    )
    tamper.set_value(reading.MANIFEST, "witness.receipt_count", 1)(folder)


WITNESSED: list[tuple[str, Callable[[Path, Signer], None], str]] = [
    ("a nonce issued after the start", rewitness(lambda d: d[0].update(at="2999-01-01T00:00:00.000000Z")), "PRV-13"),
    ("a nonce of another run", rewitness(lambda d: d[0].update(run_id="20260101-000000-abcdef")), "PRV-13"),
    ("another nonce", rewitness(lambda d: d[0].update(nonce=canonical.sha256(b"x"))), "PRV-13"),
    ("a nonce for another spec", rewitness(lambda d: d[0].update(spec_sha256=canonical.sha256(b"x"))), "PRV-13"),
    ("no nonce", rewitness(lambda d: d.pop(0)), "PRV-13"),
    ("a nonce issued twice", rewitness(lambda d: d.insert(3, d[0])), "SIG-06"),
    ("the head of other rows", rewitness(lambda d: d[4].update(head=canonical.sha256(b"x"))), "SIG-06"),
    ("a step that was never done", rewitness(lambda d: d[-1].update(step=400)), "SIG-06"),
    ("heads in another order", rewitness(lambda d: d.insert(2, d.pop(5))), "SIG-06"),
    ("a clock that goes back", rewitness(lambda d: d[3].update(at=d[1]["at"])), "SIG-06"),
    ("rows seen before they were made", rewitness(shift(-60)), "SIG-06"),
    ("heads of another run", rewitness(lambda d: d[2].update(run_id="20260101-000000-abcdef")), "SIG-06"),
    ("a witness on this machine that is called another", lambda f, _: tamper.set_value(reading.MANIFEST, "witness.same_host", True)(f), "SIG-06"),
    ("another key in the manifest", lambda f, _: tamper.set_value(reading.MANIFEST, "witness.public_key_sha256", canonical.sha256(b"x"))(f), "SIG-06"),
    ("fewer receipts than are told", lambda f, _: tamper.set_value(reading.MANIFEST, "witness.receipt_count", 99)(f), "SIG-06"),
    ("a line that is no receipt", lambda f, _: (f / RECEIPTS).write_text((f / RECEIPTS).read_text() + "{}\n") and None, "SIG-06"),
    ("a receipt taken out", lambda f, _: (f / RECEIPTS).write_text("".join((f / RECEIPTS).read_text().splitlines(True)[:3] + (f / RECEIPTS).read_text().splitlines(True)[4:])) and None, "SIG-06"),
    ("only the nonce, with another's signature", unsigned_nonce, "PRV-13"),
    ("a last receipt without its signature", lambda f, _: tamper.edit_lines(RECEIPTS, lambda d: d[-1].update(signature=d[-2]["signature"]))(f), "SIG-06"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "check"), [x[1:] for x in WITNESSED], ids=[x[0] for x in WITNESSED])
def test_receipts_that_do_not_agree_with_the_run_are_caught(
    fresh: Callable[[], Path], alice: Signer, witness: Signer, believed: Trust, change: Callable[[Path, Signer], None],
    check: str,
) -> None:  # fmt: skip
    folder = fresh()
    change(folder, witness)
    tamper.reseal(folder)
    signing.attest(folder, alice)
    verdict, results = judged(folder, believed)
    failed = {result.id for result in verdict.failures}
    assert check in failed
    assert failed <= {"PRV-13", "SIG-06"}
    assert results["SIG-06"].result in ("fail", NOT_RUN) or check == "PRV-13"


UNSEEN = [
    ("rows seen an hour later", rewitness(shift(3600))),
    ("only the nonce", rewitness(lambda d: d.__delitem__(slice(1, None)))),
    ("a third of the run", rewitness(lambda d: d.__delitem__(slice(4, None)))),
]


@pytest.mark.parametrize("change", [x[1] for x in UNSEEN], ids=[x[0] for x in UNSEEN])
def test_a_witness_that_was_away_vouches_for_nothing_and_accuses_nobody(
    fresh: Callable[[], Path], alice: Signer, witness: Signer, believed: Trust, change: Callable[[Path, Signer], None]
) -> None:
    folder = fresh()
    change(folder, witness)
    tamper.reseal(folder)
    signing.attest(folder, alice)
    verdict, results = judged(folder, believed)
    assert verdict.failures == ()
    assert results["SIG-06"].result == NOT_RUN
    assert results["SIG-06"].reason.startswith(
        "a witness has to see 90% of the steps while they are new, and this one saw"
    )
    assert verdict.level < "E5"


def test_receipts_by_a_key_of_ones_own_are_caught(
    fresh: Callable[[], Path], alice: Signer, mallory: Signer, believed: Trust
) -> None:
    folder = fresh()
    rewitness(lambda _: None)(folder, mallory)
    tamper.reseal(folder)
    signing.attest(folder, alice)
    assert {result.id for result in judged(folder, believed)[0].failures} == {"PRV-13", "SIG-06"}
    rewitness(lambda d: d[0].update(key=mallory.public.fingerprint))(folder, mallory)
    tamper.set_value(reading.MANIFEST, "witness.public_key_sha256", mallory.public.fingerprint)(folder)
    tamper.reseal(folder)
    signing.attest(folder, alice)
    verdict, results = judged(folder, believed)
    assert verdict.failures == ()
    assert (results["SIG-06"].result, results["PRV-13"].result) == (NOT_RUN, WARN)


def test_a_witness_on_the_same_machine_is_said(
    fresh: Callable[[], Path], alice: Signer, witness: Signer, believed: Trust
) -> None:
    folder = fresh()
    host = json.loads((folder / reading.MANIFEST).read_text())["location"]["host_sha256"]
    rewitness(lambda d: d[0].update(host_sha256=host))(folder, witness)
    tamper.set_value(reading.MANIFEST, "witness.same_host", True)(folder)
    tamper.reseal(folder)
    signing.attest(folder, alice)
    verdict, results = judged(folder, believed)
    assert verdict.failures == ()
    assert results["SIG-06"].result == NOT_RUN
    assert "ran on the machine that trained, whose owner has both keys" in results["SIG-06"].reason


def test_the_longest_stretch_without_a_receipt_is_named(signed: Path) -> None:
    rows = reading.Bundle(signed).rows
    heads = [receipts.read(line) for line in (signed / RECEIPTS).read_text().splitlines()[1:]]
    assert all(isinstance(head, receipts.Head) for head in heads)
    assert str(receipts.coverage(rows, heads)) == "40 of 40 steps seen while they were new"  # type: ignore[arg-type]
    told = str(receipts.coverage(rows, heads[:5]))  # type: ignore[arg-type]
    assert told.endswith("the longest stretch without a receipt in time is steps 26 to 40")


# Keys.


def test_a_key_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    public = signing.new_key(tmp_path, "me")
    place = tmp_path / "keys" / "me.pem"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert [path.name for path in sorted(place.parent.iterdir())] == ["me.pem", "me.pub"]
    before = place.read_bytes()
    with pytest.raises(signing.SigningError, match="a key is never overwritten"):
        signing.new_key(tmp_path, "me")
    assert place.read_bytes() == before
    assert signing.load(place).public == public == signing.public_key(place) == trust.own(tmp_path).keys[0].public


@pytest.mark.parametrize("name", ["", "../me", "a b", "a:b", ".me", "x" * 81])
def test_a_key_has_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(signing.SigningError, match="a key cannot be called"):
        signing.new_key(tmp_path, name)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    signing.new_key(tmp_path, "me")
    (tmp_path / "keys" / "me.pem").chmod(0o644)
    with pytest.raises(signing.SigningError, match="first: chmod 600"):
        signing.chosen(tmp_path)


def test_one_of_several_keys_must_be_named(tmp_path: Path) -> None:
    assert signing.chosen(tmp_path) is None
    signing.new_key(tmp_path, "one")
    signing.witness_key(tmp_path)
    assert getattr(signing.chosen(tmp_path), "name", "") == "one"
    signing.new_key(tmp_path, "two")
    with pytest.raises(signing.SigningError, match=r"there are several keys \(one, two\)"):
        signing.chosen(tmp_path)
    assert getattr(signing.chosen(tmp_path, "two"), "name", "") == "two"
    for wanted, why in (("three", "there is no key"), ("witness", "nothing else")):
        with pytest.raises(signing.SigningError, match=why):
            signing.chosen(tmp_path, wanted)


def test_without_cryptography_one_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signing.new_key(tmp_path, "me")
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives", None)
    for act in (lambda: signing.chosen(tmp_path), lambda: signing.new_key(tmp_path, "other")):
        with pytest.raises(signing.SigningError, match="pip install cryptography"):
            act()


def test_no_private_key_is_in_a_bundle_or_a_run(signed: Path, witnessed_run: Path, homes: dict[str, Path]) -> None:
    secrets = []
    for home in homes.values():
        for path in (home / "keys").glob("*.pem"):
            secrets.append(path.read_bytes().split(b"\n")[1])
    for folder in (signed, witnessed_run):
        for path in folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert b"PRIVATE KEY-----\n" not in data.replace(b"[A-Z ]*PRIVATE KEY-----", b"")
                assert not any(secret in data for secret in secrets), path


PEM = "-----BEGIN PUBLIC KEY-----\n"


def test_trusted_keys_are_read_strictly(tmp_path: Path, alice: Signer, mallory: Signer) -> None:
    path = tmp_path / "trusted_keys.json"
    assert trust.read(path) == Trust()
    entry = {"name": "alice", "role": "signer", "public_key": alice.public.pem}
    for document, why in (
        ([], "an object"),
        ({"keys": []}, "schema"),
        ({"schema": trust.SCHEMA, "keys": [{**entry, "role": "root"}]}, "signer or witness"),
        ({"schema": trust.SCHEMA, "keys": [{**entry, "more": 1}]}, "no such field"),
        ({"schema": trust.SCHEMA, "keys": [{**entry, "name": "a:b"}]}, "cannot be called"),
        (
            {"schema": trust.SCHEMA, "keys": [{**entry, "public_key": PEM}]},
            "the public key of alice: not one PEM block",
        ),
        ({"schema": trust.SCHEMA, "keys": [entry, {**entry, "public_key": mallory.public.pem}]}, "two keys"),
        ({"schema": trust.SCHEMA, "keys": [entry, {**entry, "name": "bob"}]}, "both as alice and as bob"),
    ):
        path.write_text(json.dumps(document))
        with pytest.raises(TrustError, match=why):
            trust.read(path)
    path.write_text("{")
    with pytest.raises(TrustError, match=r"trusted_keys\.json"):
        trust.read(path)


def test_pinning_keeps_what_was_pinned(tmp_path: Path, alice: Signer, mallory: Signer) -> None:
    path = tmp_path / "home" / "trusted_keys.json"
    trust.pin(path, Pin("alice", "signer", alice.public.pem))
    trust.pin(path, Pin("alice", "signer", alice.public.pem))
    with pytest.raises(TrustError, match="two keys are trusted as the signer alice"):
        trust.pin(path, Pin("alice", "signer", mallory.public.pem))
    trust.pin(path, Pin("alice", "witness", mallory.public.pem))
    assert [(key.name, key.role) for key in trust.read(path).keys] == [("alice", "signer"), ("alice", "witness")]


def test_ones_own_keys_are_trusted_and_the_servers_witness_is_not(tmp_path: Path) -> None:
    signing.new_key(tmp_path, "me")
    signing.witness_key(tmp_path)
    [key] = trust.known(tmp_path).keys
    assert (key.name, key.role, key.own) == ("me", SIGNER, True)


def test_what_the_repository_pins_can_be_checked_and_is_not_yet_believed(
    signed: Path, believed: Trust, alice: Signer, mallory: Signer, tmp_path: Path
) -> None:
    committed = tmp_path / "repository" / "trusted_keys.json"
    for key in believed.keys:
        trust.pin(committed, Pin(key.name, key.role, key.public.pem))  # type: ignore[arg-type]
    verdict, results = judged(signed, trust.known(tmp_path / "home", committed))
    assert verdict.failures == ()
    assert results["SIG-01"].result == PASS
    assert results["SIG-05"].result == results["PRV-13"].result == WARN
    assert "which only the repository names" in str(results["SIG-05"].findings[0])
    assert "only the repository names observatory as a witness" in results["SIG-06"].reason
    for key in believed.keys:  # now the verifier says so, too
        trust.pin(tmp_path / "home" / trust.FILE, Pin(key.name, key.role, key.public.pem))  # type: ignore[arg-type]
    _, results = judged(signed, trust.known(tmp_path / "home", committed))
    assert {results[check].result for check in ("SIG-01", "SIG-05", "SIG-06", "PRV-13")} == {PASS}
    # A repository cannot give a name that one knows to another key, nor take a revocation back.
    other = tmp_path / "other" / "trusted_keys.json"
    trust.pin(other, Pin("alice", "signer", mallory.public.pem))
    known = trust.known(tmp_path / "home", other)
    assert known.find(mallory.public.fingerprint, SIGNER) is None
    trust.pin(committed, Pin("alice", "signer", alice.public.pem, revoked="lost"))
    assert {item.id for item in judged(signed, trust.known(tmp_path / "home", committed))[0].failures} == {"SIG-01"}


def test_the_witnesss_branch_of_the_manifest_has_nothing_empty(signed: Path) -> None:
    whole = json.loads((signed / reading.MANIFEST).read_text())
    typed.read(manifest.RunManifest, whole)
    for field in ("kind", "public_key_sha256", "receipts", "receipt_count", "same_host"):
        for value in (None, "", {}, "<PENDING>"):
            with pytest.raises(typed.WrongDocument):
                typed.read(manifest.RunManifest, {**whole, "witness": {**whole["witness"], field: value}})
        without = {name: value for name, value in whole["witness"].items() if name != field}
        with pytest.raises(typed.WrongDocument):
            typed.read(manifest.RunManifest, {**whole, "witness": without})


# What other people's tools say.


def test_model_signing_accepts_the_bundle(
    signed: Path, fresh: Callable[[], Path], homes: dict[str, Path], alice: Signer
) -> None:
    verifying = pytest.importorskip("model_signing.verifying")
    config = verifying.Config().use_elliptic_key_verifier(public_key=homes["alice"] / "keys" / "alice.pub")
    config.verify(signed, signed / MODEL)
    folder = fresh()
    signing.attest_verdict(folder, alice, verify(folder))
    config.verify(folder, folder / MODEL)
    (folder / "config" / "declared.yaml").write_text("x\n")
    with pytest.raises(ValueError, match="Hash mismatch"):
        config.verify(folder, folder / MODEL)


def test_model_signing_lists_the_same_resources(signed: Path) -> None:
    hashing = pytest.importorskip("model_signing.hashing")
    config = hashing.Config().set_ignored_paths(paths=reading.BESIDE_THE_SEAL, ignore_git_paths=False)
    theirs = [(item.identifier, item.digest.digest_hex) for item in config.hash(signed).resource_descriptors()]
    assert theirs == attestations.resources(reading.Bundle(signed))


def test_in_toto_accepts_the_statements(fresh: Callable[[], Path], alice: Signer) -> None:
    spb = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
    from in_toto_attestation.v1.statement import Statement

    folder = fresh()
    name = signing.attest_verdict(folder, alice, verify(folder))
    for file, kind in ((MODEL, None), (PROVENANCE, provenance_pb2.Provenance), (name, test_result_pb2.TestResult)):
        document = dsse.read((folder / file).read_bytes()).document
        Statement.copy_from_pb(json_format.ParseDict(document, spb.Statement())).validate()
        if kind:
            json_format.ParseDict(
                document["predicate"], kind(), ignore_unknown_fields=kind is test_result_pb2.TestResult
            )


def test_cryptography_verifies_what_is_signed(signed: Path, homes: dict[str, Path]) -> None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = serialization.load_pem_public_key((homes["alice"] / "keys" / "alice.pub").read_bytes())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    for name in attestations.AT_SEALING:
        read = dsse.read((signed / name).read_bytes())
        key.verify(read.signature, read.message, ec.ECDSA(hashes.SHA256()))
        assert read.verifies(p256.from_pem((homes["alice"] / "keys" / "alice.pub").read_text()))
