"""Whatever is sent, the server answers as its document says it would, and never with a 500."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.backend.client import Client, serving, until
from tests.backend.conftest import make_settings
from tests.runs import ROOT

load_all_checks()
schemathesis.serializer.alias("application/zip", "application/octet-stream")

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
There = tuple[Client, dict[str, dict[str, str]]]
RETURNED = ("deleteRun", "restoreRun", "purgeRun", "emptyTrash")
"""Operations that take away what others are asked about."""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    """A server, and by first part of the path: its run that has ended, a deleted one, its bundle, and its preflight."""
    with serving(make_settings(tmp_path_factory.mktemp("fuzzed"))) as client:
        run = client.launch(name="proof")
        client.until_state(run, "finished")
        assert client.post(f"/runs/{run}/seal", json={}).status_code == 201
        asked = client.post("/preflights", json={"config": "tiny", "topology": "v5e-8"}).json()["id"]
        until(lambda: client.get(f"/preflights/{asked}").json(), lambda item: item["state"] == "done")
        known = {"runs": {"id": run}, "evidence": {"name": "proof"}, "preflights": {"id": asked}, "trash": {"id": ""}}
        _put_back(client, known)
        yield client, known


def _put_back(client: Client, known: dict[str, dict[str, str]]) -> None:
    """The run into the list, and another one into the trash."""
    client.post(f"/trash/{known['runs']['id']}/restore")
    if known["trash"]["id"] not in [run["id"] for run in client.get("/trash").json()["runs"]]:
        run = client.launch(overrides={"training.steps": 5})
        client.until_state(run, "finished")
        assert client.delete(f"/runs/{run}").status_code == 204
        known["trash"]["id"] = run


document = schemathesis.openapi.from_path(ROOT / "frontend" / "openapi.json")
schema = document.exclude(path="/stream")  # it never ends


@schema.parametrize()
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_every_answer_is_one_that_the_document_tells_of(there: There, case: Case) -> None:
    client, known = there
    _ask(client, case)
    parameters = known.get(case.path.split("/")[1], {})
    if named := {key: parameters[key] for key in parameters.keys() & case.path_parameters.keys()}:
        case.path_parameters.update(named)
        _ask(client, case)
    if case.operation.definition.raw["operationId"] in RETURNED:
        _put_back(client, known)


def _ask(client: Client, case: Case) -> None:
    response = case.call(base_url=str(client.base_url), timeout=30)
    case.validate_response(response, checks=CHECKS)
