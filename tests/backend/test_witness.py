"""The server as a witness: receipts of what it saw, when it saw it, whatever happens to it meanwhile."""

from __future__ import annotations

import json
import stat
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from evidence import attestations, reading, receipts, rundir, signing, trust
from evidence.known import Known
from evidence.trust import SIGNER, WITNESS, Key, Trust
from evidence.verdict import NOT_RUN, PASS, WARN
from evidence.verify import verify
from tests.backend.client import Client, serving, until
from tests.backend.conftest import TINY, make_home, make_settings
from tests.backend.test_starting import _free_port, _server


def lines(run: Path) -> list[receipts.Receipt]:
    return [receipts.read(line) for line in (run / rundir.WITNESS).read_bytes().splitlines()]


def pinned(home: Path) -> Trust:
    return Trust((Key("server", WITNESS, trust.read_public(home / "keys" / "witness.pub")),))


def seal(client: Client, run: str, place: Path) -> Path:
    response = client.post(f"/runs/{run}/seal", json={})
    assert response.status_code == 201, response.text
    return place / "submissions" / str(response.json()["name"])


def test_a_run_through_http_has_receipts_that_verify(tmp_path: Path) -> None:
    with serving(make_settings(tmp_path, 0.02)) as client:
        assert not (tmp_path / "home" / "keys").exists()
        run = client.launch(name="seen", overrides={"training.steps": 250})
        key = tmp_path / "home" / "keys" / "witness.pem"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        client.until_state(run, "finished")
        bundle = seal(client, run, tmp_path)
        shown = {item["id"]: item for item in client.get("/evidence/seen").json()["results"]}
        archive = client.get("/evidence/seen/archive.zip").content
    assert shown["SIG-06"]["result"] == NOT_RUN
    assert shown["PRV-13"]["result"] == WARN
    said = lines(tmp_path / "home" / "runs" / run)
    assert isinstance(said[0], receipts.Issued)
    heads = [item for item in said if isinstance(item, receipts.Head)]
    assert len(heads) >= 2
    assert heads[-1].step == 250
    verdict = verify(bundle, known=Known(trust=pinned(tmp_path / "home")))
    results = {item.id: item for item in verdict.results}
    assert verdict.failures == ()
    assert results["PRV-13"].result == PASS
    assert results["SIG-06"].reason.startswith("the receipts hold, but server ran on the machine that trained")
    assert json.loads((bundle / reading.MANIFEST).read_text())["witness"]["same_host"] is True
    secret = key.read_bytes().split(b"\n")[1]
    with zipfile.ZipFile(BytesIO(archive)) as content:
        assert f"seen/{reading.RECEIPTS}" in content.namelist()
        assert not any(secret in content.read(name) for name in content.namelist())


def test_receipts_survive_a_server_that_is_killed(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    spec = {"config": None, "spec": yaml.safe_load(TINY), "overrides": {"training.steps": 500}, "name": "seen"}
    port = _free_port()
    with _server(tmp_path, port, 0.02) as (client, process):
        run = client.launch(**spec)
        folder = home / "runs" / run
        until(lambda: len(lines(folder)), lambda count: count >= 2)
        process.kill()
        process.wait()
    before = (folder / rundir.WITNESS).read_bytes()
    with (folder / rundir.WITNESS).open("ab") as stream:
        stream.write(b'{"at":"2026')  # as if it had been killed while it wrote
    with _server(tmp_path, port, 0.02) as (client, _):
        client.until_state(run, "finished", "failed", "lost", "stopped")
        bundle = seal(client, run, tmp_path)
        client.post("/runs/x/stop")
    after = (folder / rundir.WITNESS).read_bytes()
    assert after.startswith(before)
    said = [item for item in lines(folder) if isinstance(item, receipts.Head)]
    assert len({item.step for item in said}) == len(said)
    assert said[-1].step == 500
    verdict = verify(bundle, known=Known(trust=pinned(home)))
    assert verdict.failures == ()
    assert {item.id: item.reason for item in verdict.results}["SIG-06"].startswith(
        "the receipts hold, but server ran on"
    )


def test_a_run_that_something_else_launched_is_not_witnessed(tmp_path: Path) -> None:
    from tests import runs

    settings = make_settings(tmp_path)
    with serving(settings) as client:
        run = runs.new_run(settings.runs, name="alone")
        until(lambda: client.get(f"/runs/{run.name}").json().get("state"), lambda state: state == "finished")
        bundle = seal(client, run.name, tmp_path)
    assert not (run / rundir.WITNESS).exists()
    witness = json.loads((bundle / reading.MANIFEST).read_text())["witness"]
    assert witness == {"kind": "no_witness", "because": "nobody countersigned this run while it went on"}


def test_a_server_that_cannot_sign_still_launches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: Path) -> Any:
        raise signing.SigningError(signing.MISSING)

    monkeypatch.setattr(signing, "witness_key", refuse)
    with serving(make_settings(tmp_path)) as client:
        run = client.launch()
        client.until_state(run, "finished")
    assert not (tmp_path / "home" / "runs" / run / rundir.WITNESS).exists()
    assert [item.message for item in caplog.records] == [f"runs are not witnessed: {signing.MISSING}"]


def test_the_server_signs_with_the_key_there_is_and_believes_it(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    public = signing.new_key(settings.home, "owner")
    with serving(settings) as client:
        run = client.launch(name="mine")
        client.until_state(run, "finished")
        bundle = seal(client, run, tmp_path)
        results = {item["id"]: item["result"] for item in client.get("/evidence/mine").json()["results"]}
        assert {results[check] for check in ("SIG-01", "SIG-02", "SIG-03", "SIG-04", "SIG-05")} == {PASS}
        for name in attestations.AT_SEALING:
            assert (bundle / name).is_file()
        trust.pin(settings.home / trust.FILE, trust.Pin("owner", "signer", public.pem, revoked="lost"))
        results = {item["id"]: item["result"] for item in client.get("/evidence/mine").json()["results"]}
        assert results["SIG-01"] == "fail"  # at the next look
        (settings.home / trust.FILE).write_text("{")
        (settings.submissions / trust.FILE).write_text("{}")
        assert client.get("/evidence/mine").json()["valid"] is True
        assert [item["name"] for item in client.get("/evidence").json()["bundles"]] == ["mine"]
        signing.new_key(settings.home, "second")
        response = client.post(f"/runs/{run}/seal", json={"name": "again"})
        assert response.status_code == 409
        assert "there are several keys (owner, second)" in response.json()["detail"]
    verdict = verify(bundle, known=Known(trust=Trust((Key("owner", SIGNER, public),))))
    assert {item.id: item.result for item in verdict.results}["SIG-05"] == PASS


def test_nothing_of_a_key_is_said_in_a_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(make_settings(tmp_path)) as client:
        run = client.launch()
        client.until_state(run, "finished")
    secret = (tmp_path / "home" / "keys" / "witness.pem").read_bytes().split(b"\n")[1]
    for path in (tmp_path / "home" / "runs").rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes()
    assert secret.decode() not in caplog.text
    assert sorted(path.name for path in (tmp_path / "home" / "keys").iterdir()) == ["witness.pem", "witness.pub"]
