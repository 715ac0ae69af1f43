"""Whatever is sent, the server answers as its document says it would, and never with a 500."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.backend.client import Client, serving
from tests.backend.conftest import make_settings
from tests.runs import ROOT

load_all_checks()


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server with a run that has ended; what the fuzzer launches is cut short at the end."""
    with serving(make_settings(tmp_path_factory.mktemp("fuzzed"))) as client:
        client.until_state(client.launch(), "finished")
        yield client


document = schemathesis.openapi.from_path(ROOT / "frontend" / "openapi.json")
schema = document.exclude(path="/stream")  # it never ends


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_no_request_brings_the_server_down(fuzzed: Client, case: Case) -> None:
    response = case.call(base_url=str(fuzzed.base_url), timeout=30)
    case.validate_response(response, checks=[not_a_server_error, content_type_conformance, response_schema_conformance])
