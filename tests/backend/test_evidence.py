"""Sealing over HTTP, and bundles as a reviewer reads them."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backend.client import Client, serving
from tests.backend.conftest import make_settings

Sealed = tuple[Client, str, Path]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    """A server with one bundle called proof, its run, and the folder of bundles."""
    place = tmp_path_factory.mktemp("sealed")
    with serving(make_settings(place)) as client:
        run = client.launch(name="proof")
        client.until_state(run, "finished")
        response = client.post(f"/runs/{run}/seal", json={})
        assert response.status_code == 201, response.text
        assert response.json()["name"] == "proof"
        yield client, run, place / "submissions"


@pytest.fixture
def tampered(sealed: Sealed) -> Iterator[Callable[[str, bytes], str]]:
    """Makes a copy of the bundle with one file changed; returns the copy's name."""
    _, _, root = sealed
    place = root / "tampered" / "proof"

    def change(path: str, content: bytes) -> str:
        shutil.copytree(root / "proof", root / "tampered")
        (root / "tampered" / path).write_bytes(content)
        return "tampered"

    yield change
    shutil.rmtree(place.parent, ignore_errors=True)


def test_a_sealed_run_names_its_bundle(sealed: Sealed) -> None:
    client, run, _ = sealed
    assert client.get(f"/runs/{run}").json()["bundles"] == ["proof"]
    [summary] = client.get("/evidence").json()["bundles"]
    assert (summary["name"], summary["valid"], summary["outcome"], summary["steps"]) == ("proof", True, "completed", 40)
    assert summary["run_id"] == run
    assert len(summary["spark"]) == 40


def test_a_bundle_is_shown_with_its_proof(sealed: Sealed) -> None:
    client, run, root = sealed
    bundle = client.get("/evidence/proof").json()
    metrics = client.get(f"/runs/{run}/metrics").json()
    assert bundle["curve"] == metrics
    assert bundle["final_loss"] == metrics["columns"]["loss"][-1]
    assert {claim["verdict"] for claim in bundle["claims"]} <= {"holds", "unproven"}
    assert all(result["result"] != "fail" for result in bundle["results"])
    assert len(bundle["predictions"]) == 10
    numbered = (root / "proof" / "kaggle_output_log.txt").read_text().splitlines()
    assert all(numbered[line["number"] - 1] == line["text"] for line in bundle["log_excerpt"])
    for file in bundle["contents"]:
        assert hashlib.sha256((root / "proof" / file["path"]).read_bytes()).hexdigest() == file["sha256"]


def test_a_name_is_taken_once(sealed: Sealed) -> None:
    client, run, _ = sealed
    response = client.post(f"/runs/{run}/seal", json={"name": "proof"})
    assert response.status_code == 409
    assert "proof" in response.json()["detail"]


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b", "a" * 81])
def test_a_name_that_is_no_name_is_refused(sealed: Sealed, name: str) -> None:
    client, run, root = sealed
    response = client.post(f"/runs/{run}/seal", json={"name": name})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "name"
    assert sorted(path.name for path in root.iterdir()) == ["proof"]


def test_a_run_without_steps_is_refused_with_findings(sealed: Sealed) -> None:
    client, _, root = sealed
    first, second = client.launch(overrides={"training.steps": 5_000}), client.launch(name="cancelled")
    client.post(f"/runs/{second}/stop")
    response = client.post(f"/runs/{second}/seal", json={})
    client.post(f"/runs/{first}/stop")
    assert response.status_code == 422
    assert response.json()["findings"]
    assert sorted(path.name for path in root.iterdir()) == ["proof"]


def test_a_changed_byte_is_seen_at_the_next_look(sealed: Sealed, tampered: Callable[[str, bytes], str]) -> None:
    client, _, root = sealed
    name = tampered("README.md", (root / "proof" / "README.md").read_bytes() + b"!")
    bundle = client.get(f"/evidence/{name}").json()
    assert bundle["valid"] is False
    assert any(finding["file"] == "README.md" for result in bundle["results"] for finding in result["findings"])


@pytest.mark.parametrize("path", ["run_manifest.json", "metrics.jsonl", "eval_summary.json", "kaggle_output_log.txt"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00", b"null", b'{"a": NaN}'])
def test_a_broken_bundle_is_still_shown(
    sealed: Sealed, tampered: Callable[[str, bytes], str], path: str, content: bytes
) -> None:
    client, _, _ = sealed
    name = tampered(path, content)
    response = client.get(f"/evidence/{name}")
    assert response.status_code == 200, response.text
    assert response.json()["valid"] is False
    assert len(client.get("/evidence").json()["bundles"]) == 2


def test_files_are_shown_but_never_run(sealed: Sealed) -> None:
    client, _, root = sealed
    text = client.get("/evidence/proof/files/metrics.jsonl")
    assert text.content == (root / "proof" / "metrics.jsonl").read_bytes()
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert text.headers["x-content-type-options"] == "nosniff"
    path = next(file["path"] for file in client.get("/evidence/proof").json()["contents"] if "state/" in file["path"])
    other = client.get(f"/evidence/proof/files/{path}")
    assert other.headers["content-disposition"] == "attachment"


OUTSIDE = [
    "%2e%2e/%2e%2e/home/assay.db",
    "..%2f..%2fhome%2fassay.db",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "config",
    "gone",
    "config%2f..%2fREADME.md",
    "%00",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_outside_a_bundle_is_served(sealed: Sealed, path: str) -> None:
    client, _, _ = sealed
    assert client.get(f"/evidence/proof/files/{path}").status_code == 404


def test_links_are_not_followed(sealed: Sealed, tampered: Callable[[str, bytes], str]) -> None:
    client, _, root = sealed
    name = tampered("README.md", b"")
    (root / name / "link.txt").symlink_to("/etc/passwd")
    assert client.get(f"/evidence/{name}/files/link.txt").status_code == 404
    (root / "linked").symlink_to(root / "proof")
    try:
        assert client.get("/evidence/linked").status_code == 404
    finally:
        (root / "linked").unlink()


def test_the_archive_is_the_same_bytes_for_the_same_bundle(sealed: Sealed) -> None:
    client, _, root = sealed
    first, second = (client.get("/evidence/proof/archive.zip").content for _ in range(2))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == sorted(archive.namelist())
        for name in archive.namelist():
            assert archive.read(name) == (root / name).read_bytes()
