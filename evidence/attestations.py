"""The statements that may lie in ``attestations/``: what each says of a bundle, computed from the bundle alone.

    model.sigstore.json             an OpenSSF model signature: every sealed file and MANIFEST.sha256, by digest
    provenance.sigstore.json        SLSA v1 provenance: what was asked, from what it was made, by whom
    verdict-<key>.sigstore.json     a verifier's verdict over the seal, as an in-toto test result
    replay-<key>.sigstore.json      the same over replay/result.json

``<key>`` is the beginning of the signing key's fingerprint: anybody may add theirs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from evidence import canonical, dsse, reading
from evidence.reading import Bundle
from evidence.typed import Sha256
from evidence.verdict import FAIL, NOT_RUN, PASS, WARN, CheckResult, Verdict

FOLDER, SUFFIX = "attestations", ".sigstore.json"
MODEL, PROVENANCE = f"{FOLDER}/model{SUFFIX}", f"{FOLDER}/provenance{SUFFIX}"
AT_SEALING = (MODEL, PROVENANCE)
LATER = re.compile(rf"{FOLDER}/(verdict|replay)-([0-9a-f]{{16}}){re.escape(SUFFIX)}")

MODEL_TYPE = "https://model_signing/signature/v1.0"
PROVENANCE_TYPE = "https://slsa.dev/provenance/v1"
TEST_RESULT_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
BUILD_TYPE = "urn:assay:training-run@1"
BUILDER = re.compile(r"urn:assay:builder:([a-z]+):([^:\s]+)")


@dataclass(frozen=True)
class Serialization:
    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: bool
    ignore_paths: list[str]


@dataclass(frozen=True)
class Resource:
    name: str
    algorithm: Literal["sha256"]
    digest: Sha256


@dataclass(frozen=True)
class ModelSignature:
    serialization: Serialization
    resources: list[Resource]


@dataclass(frozen=True)
class Descriptor:
    name: str
    digest: dsse.Digest


@dataclass(frozen=True)
class Tested:
    """in-toto's test result, and beyond it the level that was reached, and the checks that could not be run."""

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: list[Descriptor]
    passedTests: list[str]
    warnedTests: list[str]
    failedTests: list[str]
    notRunTests: list[str]
    level: Literal["none", "E0", "E1", "E2", "E3", "E4", "E5"]


def files(bundle: Bundle) -> list[str]:
    """Everything that lies in ``attestations/``."""
    return [name for name in bundle.files if name.startswith(f"{FOLDER}/")]


def seal_of(bundle: Bundle) -> tuple[str, str]:
    """The file whose digest is the bundle's, and its digest: what statements are about."""
    return reading.SUMS, bundle.seal


def resources(bundle: Bundle) -> list[tuple[str, str]]:
    """Every file but the statements, and its digest, in the order that model-signing has them."""
    names = [*bundle.sealed_files, reading.SUMS]
    return [(name, bundle.sha256(name)) for name in sorted(names, key=lambda name: name.split("/"))]


def root_digest(digests: Iterable[str]) -> str:
    """model-signing's one digest of a tree: of the files' digests, one after the other."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def model_statement(bundle: Bundle) -> dict[str, Any]:
    """The OpenSSF model signature's statement over the bundle as it lies there."""
    found = resources(bundle)
    return dsse.statement(
        [(bundle.document(reading.MANIFEST)["run"]["name"], root_digest(digest for _, digest in found))],
        MODEL_TYPE,
        {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(reading.BESIDE_THE_SEAL),
            },
            "resources": [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in found],
        },
    )


def builder_id(bundle: Bundle, signer: str) -> str:
    """Who vouches for where the run took place."""
    return f"urn:assay:builder:{bundle.document(reading.MANIFEST)['location']['kind']}:{signer}"


def provenance_statement(bundle: Bundle, signer: str) -> dict[str, Any]:
    """The SLSA provenance that follows from the manifest; ``signer`` is the name of whoever signs it."""
    manifest = bundle.document(reading.MANIFEST)
    run, config = manifest["run"], manifest["config"]
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "name": run["name"],
                "config": {"name": config["source"], "digest": {"sha256": config["declared"]["sha256"]}},
                "overrides": {item["key"]: item["effective"] for item in config["overrides"]},
                "effective_config_sha256": config["effective_sha256"],
                "seed": bundle.document("config/effective.json")["training"]["seed"],
            },
            "internalParameters": {"nonce": run["nonce"]},
            "resolvedDependencies": list(_dependencies(manifest)),
        },
        "runDetails": {
            "builder": {"id": builder_id(bundle, signer)},
            "metadata": {
                "invocationId": run["run_id"],
                "startedOn": run["started_at"],
                "finishedOn": run["finished_at"],
            },
        },
    }
    return dsse.statement([seal_of(bundle)], PROVENANCE_TYPE, predicate)


def verdict_statement(bundle: Bundle, verdict: Verdict) -> dict[str, Any]:
    """A verifier's verdict over the seal."""
    return dsse.statement([seal_of(bundle)], TEST_RESULT_TYPE, _test_result(verdict.results, verdict.level))


def replay_statement(bundle: Bundle, verdict: Verdict) -> dict[str, Any]:
    """What the checks of a replay said of ``replay/result.json``, by whoever vouches for that file."""
    subject = [(reading.REPLAY, bundle.sha256(reading.REPLAY)), seal_of(bundle)]
    results = [item for item in verdict.results if item.cost == "replay"]
    return dsse.statement(subject, TEST_RESULT_TYPE, _test_result(results, verdict.level))


def is_replay(signed: dsse.Signed) -> bool:
    """Whether somebody vouches with this for a replay's result."""
    about = [item.name for item in signed.statement.subject]
    return signed.statement.predicateType == TEST_RESULT_TYPE and about == [reading.REPLAY, reading.SUMS]


def _dependencies(manifest: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """What the run was made from. A run that failed early has told of less."""
    source = manifest["source"]
    if source["kind"] == "git":
        yield {"name": "source", "digest": {"gitCommit": source["commit"]}}
    else:
        digest = canonical.digest({item["path"]: item["sha256"] for item in source["files"]})
        yield {"name": "source", "digest": {"sha256": digest}}
    if "data" in manifest:
        for file in (manifest["data"]["train"], manifest["data"]["eval"]):
            yield {"name": file["path"], "digest": {"sha256": file["sha256"]}}
    if "tokenizer" in manifest:
        yield {"name": "tokenizer", "digest": {"sha256": manifest["tokenizer"]["sha256"]}}
    if "model" in manifest:
        yield {"name": "initial weights", "digest": {"sha256": manifest["model"]["initial_parameters_digest"]}}


def _test_result(results: Iterable[CheckResult], level: str) -> dict[str, Any]:
    by = {word: [item.id for item in results if item.result == word] for word in (PASS, WARN, FAIL, NOT_RUN)}
    return {
        "result": "FAILED" if by[FAIL] else "WARNED" if by[WARN] else "PASSED",
        "configuration": [{"name": "evidence", "digest": {"sha256": _verifier()}}],
        "passedTests": by[PASS],
        "warnedTests": by[WARN],
        "failedTests": by[FAIL],
        "notRunTests": by[NOT_RUN],
        "level": level or "none",
    }


@cache
def _verifier() -> str:
    """One digest of the code that verifies: which checks these were."""
    folder = Path(__file__).parent
    code = {path.relative_to(folder).as_posix(): canonical.sha256_file(path) for path in sorted(folder.rglob("*.py"))}
    return canonical.digest(code)
