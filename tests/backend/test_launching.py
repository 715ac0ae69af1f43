"""POST /runs: what is asked for becomes a folder, or a sentence beside each wrong field and no folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from evidence import rundir
from tests.backend.client import Client
from tests.backend.conftest import TINY

SPEC: dict[str, Any] = yaml.safe_load(TINY)


def test_a_run_is_created_and_finishes(client: Client, tmp_path: Path) -> None:
    response = client.post("/runs", json={"config": "tiny", "name": "first", "tags": ["a", "a"], "notes": "n",
                                          "overrides": {"training.steps": 5}})  # fmt: skip
    assert response.status_code == 201
    run = response.json()
    assert response.headers["Location"] == f"/runs/{run['id']}"
    folder = tmp_path / "home" / "runs" / run["id"]
    ask = rundir.read_ask(folder)
    assert (ask.name, ask.tags, ask.notes, ask.spec.training.steps) == ("first", ("a",), "n", 5)
    assert ask.spec.data.train_path == str(tmp_path / "home" / "data" / "rows.jsonl")
    assert (folder / "config.yaml").read_text() == TINY
    ended = client.until_state(run["id"], "finished")
    assert (ended["step"], ended["steps"], ended["reason"], ended["error"]) == (5, 5, "", None)
    assert ended["spark"] == client.get(f"/runs/{run['id']}/metrics?keys=loss").json()["columns"]["loss"]
    assert ended["hardware"] == "1 × cpu"
    assert ended["launch"]["run_id"] == run["id"]


def test_a_spec_may_be_given_instead_of_a_config(client: Client) -> None:
    run = client.launch(config=None, spec=SPEC, device="cpu")
    shown = client.until_state(run, "finished")
    assert shown["config"] == "spec"
    assert yaml.safe_load(shown["config_text"]) == SPEC
    assert shown["spec"]["device"] == "cpu"
    assert {"key": "device", "declared": "auto", "effective": "cpu"} in shown["overrides"]


@pytest.mark.parametrize(
    ("request_", "field", "message"),
    [
        ({}, "config", "give either config"),
        ({"config": "tiny", "spec": SPEC}, "config", "got both"),
        ({"config": "/etc/passwd"}, "config", "one of the shipped configs (tiny), got '/etc/passwd'"),
        ({"config": "../tiny"}, "config", "shipped configs"),
        ({"config": "tiny", "colour": 1}, "colour", "there is no such field"),
        ({"config": "tiny", "overrides": {"training.steps": 0}}, "training.steps", "must be at least 1"),
        ({"config": "tiny", "overrides": {"training.steps": None}}, "training.steps", "an integer, got nothing"),
        ({"config": "tiny", "overrides": {"training.steps": [1]}}, "training.steps", "got a list"),
        ({"config": "tiny", "overrides": {"training.step": 3}}, "training.step", "did you mean training.steps?"),
        ({"config": "tiny", "overrides": {"optimizer.learning_rate": "1e-5"}}, "optimizer.learning_rate", "a number"),
        ({"config": "tiny", "name": "../x"}, "name", "letters, digits"),
        ({"config": "tiny", "launcher": "rocket"}, "launcher", "local"),
        ({"config": "tiny", "device": "abacus"}, "device", "auto"),
        ({"config": "tiny", "tags": [""]}, "tags.0", "at least 1 character"),
        ({"config": "tiny", "device": "gpu", "overrides": {"device": "cpu"}}, "device", "give one of them"),
        ({"config": "tiny", "overrides": {"data.train_path": "/etc/passwd"}}, "data.train_path", "the data folders ("),
        ({"config": "tiny", "overrides": {"data.train_path": "../../assay.db"}}, "data.train_path", "data folders"),
        ({"config": "tiny", "overrides": {"data.train_path": "gone.jsonl"}}, "data.train_path", "there is no file"),
        ({"config": "tiny", "overrides": {"data.eval_path": "a" * 5000}}, "data.eval_path", "data folders"),
        ({"config": "tiny", "overrides": {"weights.source": "folder", "weights.path": "gemma"}}, "weights.path",
         "there is no folder 'gemma'"),
        ({"spec": {}}, "name", "is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_beside_its_field(
    quiet: Client, request_: dict[str, Any], field: str, message: str
) -> None:
    response = quiet.post("/runs", json=request_)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    errors = {item["field"]: item["message"] for item in response.json()["errors"]}
    assert message in errors[field]
    assert quiet.get("/runs").json()["total"] == 0


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 422),
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b'{"config": "tiny"}', "text/plain", 422),
        (b'{"config": "tiny"}', "application/x-www-form-urlencoded", 422),
        (b'{"config": "\\ud800"}', "application/json", 422),
        (b'{"spec": {"\\ud800": 1}}', "application/json", 422),
        (b'{"config": "tiny", "overrides": {"\\ud800": "\\udfff"}}', "application/json", 422),
        (b'{"config": "tiny", "notes": "\\ud800"}', "application/json", 422),
        (b'{"config": "tiny", "overrides": {"name": "\\ud800"}}', "application/json", 422),
        (b'{"config": "tiny", "overrides": {"optimizer.learning_rate": NaN}}', "application/json", 422),
        (b'{"config": "tiny", "overrides": {"training.steps": 1e999}}', "application/json", 422),
        (b'{"config": "tiny", "overrides": {"training.seed": ' + b"9" * 400 + b"}}", "application/json", 422),
        (b'{"config": "tiny", "overrides": {"training.seed": ' + b"9" * 9000 + b"}}", "application/json", 400),
        (b'{"spec": ' + b'{"a":' * 9000 + b"1" + b"}" * 9001, "application/json", 400),
        (b'{"config": "tiny", "notes": "' + b"a" * (1 << 20) + b'"}', "application/json", 413),
    ],
)
def test_a_broken_body_is_refused_without_a_trace(quiet: Client, body: bytes, content_type: str, status: int) -> None:
    response = quiet.post("/runs", content=body, headers={"Content-Type": content_type})
    assert response.status_code == status, response.text
    assert response.json()["status"] == status
    assert quiet.get("/runs").json()["total"] == 0


def test_a_body_that_hides_its_length_is_still_bounded(quiet: Client) -> None:
    response = quiet.post(
        "/runs", content=(b"a" * 65_536 for _ in range(20)), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 413
