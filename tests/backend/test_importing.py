"""A bundle that somebody sends: taken in, judged like any other, never trusted, and removed again."""

from __future__ import annotations

import io
import json
import resource
import shutil
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import bagit
import httpx
import pytest

from backend.bundles.library import Library
from evidence import archive
from evidence.trust import Trust
from tests.backend.client import Client, serving
from tests.backend.conftest import make_settings

ZIP = {"Content-Type": "application/zip"}
There = tuple[Client, bytes, Path]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    """A server with a bundle called proof, its archive, and the folder of everything."""
    place = tmp_path_factory.mktemp("importing")
    with serving(make_settings(place)) as client:
        run = client.launch(name="proof")
        client.until_state(run, "finished")
        assert client.post(f"/runs/{run}/seal", json={}).status_code == 201
        yield client, client.get("/evidence/proof/archive.zip").content, place


@pytest.fixture
def send(there: There) -> Iterator[Callable[..., httpx.Response]]:
    """Sends an archive; what was taken in is removed afterwards."""
    client, _, place = there

    def post(data: bytes, name: str = "", **headers: str) -> httpx.Response:
        return client.post("/evidence", content=data, params={"name": name} if name else {}, headers={**ZIP, **headers})

    yield post
    shutil.rmtree(place / "home" / "imported", ignore_errors=True)


def left(place: Path) -> list[str]:
    imported = place / "home" / "imported"
    return sorted(path.name for path in imported.iterdir()) if imported.exists() else []


def changed(data: bytes, act: Callable[[str, bytes], bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, act(name, old.read(name)))
    return target.getvalue()


def test_what_was_exported_is_imported_and_judged_the_same(there: There, send: Callable[..., httpx.Response]) -> None:
    client, data, _ = there
    response = send(data, "theirs")
    assert response.status_code == 201, response.text
    assert response.headers["location"] == "/evidence/theirs"
    summary, original = response.json(), client.get("/evidence/proof").json()
    assert (summary["name"], summary["origin"], original["origin"]) == ("theirs", "imported", "here")
    bundle = client.get("/evidence/theirs").json()
    assert [bundle[key] for key in ("results", "level", "sentence")] == [
        original[key] for key in ("results", "level", "sentence")
    ]
    assert client.get("/evidence/theirs/archive.zip").content == data
    listed = {item["name"]: item["origin"] for item in client.get("/evidence").json()["bundles"]}
    assert listed == {"proof": "here", "theirs": "imported"}
    assert (
        client.get("/evidence/theirs/files/README.md").content == client.get("/evidence/proof/files/README.md").content
    )


def test_a_forged_bundle_is_kept_and_shown_with_its_findings(there: There, send: Callable[..., httpx.Response]) -> None:
    client, data, _ = there
    forged = changed(data, lambda name, old: old + b"{}\n" if name.endswith("metrics.jsonl") else old)
    assert send(forged, "forged").status_code == 201
    bundle = client.get("/evidence/forged").json()
    assert bundle["valid"] is False
    assert bundle["sentence"].startswith("Not to be trusted: ")
    assert any("metrics.jsonl" in finding["file"] for result in bundle["results"] for finding in result["findings"])


def test_a_bundle_that_cannot_be_read_is_shown_as_that(there: There, send: Callable[..., httpx.Response]) -> None:
    client, data, _ = there
    response = send(changed(data, lambda name, old: b"null" if name.endswith("run_manifest.json") else old), "odd")
    assert response.status_code == 201
    assert (response.json()["valid"], response.json()["level"]) == (False, "")
    assert "cannot be read as a bundle" in client.get("/evidence/odd").json()["sentence"]


def test_a_name_is_taken_once_wherever_it_lies(there: There, send: Callable[..., httpx.Response]) -> None:
    client, data, place = there
    assert send(data).status_code == 409  # its own name, proof, is a bundle's that was sealed here
    assert left(place) == []
    assert send(data, "theirs").status_code == 201
    again = send(data, "theirs")
    assert again.status_code == 409
    assert "theirs" in again.json()["detail"]
    run = client.get("/runs").json()["runs"][0]["id"]
    assert client.post(f"/runs/{run}/seal", json={"name": "theirs"}).status_code == 409


@pytest.mark.parametrize("name", ["../x", ".hidden", "a/b", "x" * 81])
def test_a_name_that_is_none_is_refused(there: There, send: Callable[..., httpx.Response], name: str) -> None:
    response = send(there[1], name)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "name"
    assert left(there[2]) == []


def test_what_is_no_sound_archive_is_refused_with_the_entry(there: There, send: Callable[..., httpx.Response]) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("b/run_manifest.json", b"{}")
        made.writestr("b/../../../evil", b"")
    response = send(target.getvalue())
    assert response.status_code == 422
    assert response.json()["detail"] == "the upload is refused: the entry 'b/../../../evil' leads out of its folder"
    assert response.json()["errors"][0]["field"] == "b/../../../evil"
    assert send(b"no zip").status_code == 422
    assert send(b"").status_code == 422
    assert left(there[2]) == []


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""])
def test_another_type_is_refused(there: There, send: Callable[..., httpx.Response], kind: str) -> None:
    assert send(there[1], **{"Content-Type": kind}).status_code == 415


def test_another_sites_page_may_not_send_one(there: There, send: Callable[..., httpx.Response]) -> None:
    assert send(there[1], "theirs", Origin="https://evil.example").status_code == 403
    assert left(there[2]) == []


def test_an_imported_bundle_can_be_removed_and_a_sealed_one_not(
    there: There, send: Callable[..., httpx.Response]
) -> None:
    client, data, place = there
    send(data, "theirs")
    assert client.delete("/evidence/theirs").status_code == 204
    assert client.get("/evidence/theirs").status_code == 404
    assert client.delete("/evidence/theirs").status_code == 404
    assert left(place) == []
    refused = client.delete("/evidence/proof")
    assert refused.status_code == 409
    assert "sealed on this machine" in refused.json()["detail"]
    assert client.get("/evidence/proof").status_code == 200
    assert send(data, "theirs").status_code == 201


def test_a_body_of_200_mb_is_refused_and_not_held(there: There) -> None:
    client, _, place = there

    def body() -> Iterator[bytes]:
        for _ in range(200):
            yield bytes(1_000_000)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    response = client.post("/evidence", content=body(), headers=ZIP, timeout=60)
    assert response.status_code == 413
    assert f"{archive.LARGEST_ARCHIVE_BYTES:,}" in response.json()["detail"]
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 64 * 1024  # KiB
    assert left(place) == []
    assert client.get("/health").status_code == 200


def test_a_body_that_says_it_is_too_large_is_refused_unread(there: There) -> None:
    address = there[0].base_url
    with socket.create_connection((address.host, address.port or 80), timeout=10) as line:
        head = f"POST /evidence HTTP/1.1\r\nHost: {address.host}\r\nContent-Type: application/zip\r\n"
        line.sendall(f"{head}Content-Length: 200000000\r\n\r\n".encode())
        assert line.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_the_other_addresses_keep_their_limit(there: There) -> None:
    assert there[0].post("/runs", content=bytes(2 << 20)).status_code == 413


def test_a_bag_can_be_had(there: There, tmp_path: Path) -> None:
    client, _, _ = there
    first, second = (client.get("/evidence/proof/bag.zip") for _ in range(2))
    assert first.content == second.content
    assert first.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(first.content)) as packed:
        packed.extractall(tmp_path)
    assert bagit.Bag(str(tmp_path / "proof-bag")).validate()


def test_a_text_comes_in_parts(there: There) -> None:
    client, _, place = there
    path, where = (
        "/evidence/proof/files/kaggle_output_log.txt",
        place / "submissions" / "proof" / "kaggle_output_log.txt",
    )
    whole, offset, seen = where.read_bytes(), 0, b""
    while offset < len(whole):
        response = client.get(path, params={"offset": offset, "limit_bytes": 7000})
        assert response.status_code == 206
        assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        first, last = response.headers["content-range"].removeprefix("bytes ").partition("/")[0].split("-")
        assert int(first) == offset
        seen, offset = seen + response.content, int(last) + 1
    assert seen == whole
    assert client.get(path, params={"offset": len(whole)}).status_code == 416
    ranged = client.get(path, headers={"Range": "bytes=10-19"})
    assert (ranged.status_code, ranged.content) == (206, whole[10:20])
    weights = next(
        item["path"] for item in client.get("/evidence/proof").json()["contents"] if "state/" in item["path"]
    )
    assert client.get(f"/evidence/proof/files/{weights}", params={"offset": 0}).status_code == 409


def test_a_part_has_whole_characters(there: There) -> None:
    client, _, place = there
    text = "aé→😀" * 50
    target = place / "submissions" / "odd"
    target.mkdir()
    (target / "notes.txt").write_text(json.dumps(text, ensure_ascii=False))
    data = (target / "notes.txt").read_bytes()
    try:
        for limit in range(4, 12):
            offset, seen = 0, ""
            while offset < len(data):
                response = client.get("/evidence/odd/files/notes.txt", params={"offset": offset, "limit_bytes": limit})
                seen += response.content.decode("utf-8")
                offset += len(response.content)
            assert seen == data.decode()
    finally:
        shutil.rmtree(target)


NASTY: list[Any] = [
    None,
    "",
    0,
    -1,
    1.5,
    True,
    [],
    {},
    [[]],
    {"kind": "completed"},
    "a" * 5000,
    1e300,
    "\0",
    {"a": None},
]
DEEP = ["[" * depth + "]" * depth for depth in (90, 300, 900, 980, 5000)]


def places(value: Any, where: list[Any]) -> list[list[Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [where, *(place for key, item in inner for place in places(item, [*where, key]))]


def mutated(random: Random, text: str) -> str:
    if random.random() < 0.1:
        return random.choice(DEEP) + "\n"
    value = json.loads(text)
    *parents, last = random.choice(places(value, [])[1:])
    inside = value
    for key in parents:
        inside = inside[key]
    if random.random() < 0.2:
        del inside[last]
    else:
        inside[last] = random.choice(NASTY)
    return json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n"


def test_whatever_its_files_say_a_bundle_is_told(there: There, tmp_path: Path) -> None:
    """One hostile bundle must not take the list of all away: sixty of them, a value or the shape of a file changed."""
    random, good = Random(7), there[2] / "submissions" / "proof"
    names = [path.relative_to(good) for path in sorted(good.rglob("*.json*")) if "files" not in path.parts]
    folder = tmp_path / "bundles" / "proof"
    library = Library(tmp_path / "bundles", tmp_path / "imported", tmp_path / "replays", Trust)
    for _ in range(60):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        place = folder / random.choice(names)
        lines = place.read_text().splitlines(keepends=True)
        if place.suffix == ".jsonl" and lines:
            index = random.randrange(len(lines))
            lines[index] = mutated(random, lines[index])
            place.write_text("".join(lines))
        else:
            place.write_text(mutated(random, place.read_text()))
        told = library.bundle("proof")
        assert not told.valid
        json.dumps(told.model_dump(mode="json"), allow_nan=False)
