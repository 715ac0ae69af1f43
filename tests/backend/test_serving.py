"""Who gets what: pages and JSON at one address, and refusals at the door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend.client import Client, serving
from tests.backend.conftest import make_settings

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server with a page."""
    place = tmp_path_factory.mktemp("built")
    (place / "page" / "assets").mkdir(parents=True)
    (place / "page" / "index.html").write_text("<!doctype html>the page" + " " * 2000)
    (place / "page" / "assets" / "main-1a2b.js").write_text("main()\n" * 1000)
    (place / "secret").write_text("secret")
    with serving(make_settings(place)) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/runs/new", "/runs/20260101-000000-abcdef", "/evidence", "/evidence/x"]
)
def test_a_browser_gets_the_page_at_every_address(built: Client, path: str) -> None:
    response = built.get(path, headers=BROWSER)
    assert response.status_code == 200
    assert response.text.startswith("<!doctype html>the page")
    assert response.headers["cache-control"] == "no-cache"
    assert "Accept" in response.headers["vary"]
    assert response.headers["content-encoding"] == "gzip"
    assert "script-src 'self'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/json, text/html;q=0.5", "", "text/html;q=0"]
)
def test_everybody_else_gets_json(built: Client, accept: str) -> None:
    response = built.get("/runs", headers={"Accept": accept})
    assert response.json() == {"runs": [], "total": 0, "next_cursor": None}
    assert response.headers["vary"] == "Accept"


@pytest.mark.parametrize("path", ["/", "/runs", "/configs", "/evidence", "/health", "/openapi.json", "/runs/gone"])
@pytest.mark.parametrize("accept", ["application/json", BROWSER["Accept"]])
def test_head_is_get_without_the_body(built: Client, path: str, accept: str) -> None:
    get, head = (built.request(method, path, headers={"Accept": accept}) for method in ("GET", "HEAD"))
    assert head.content == b""
    assert head.status_code == get.status_code
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}


def test_a_stream_has_no_head(quiet: Client) -> None:
    assert quiet.head("/stream").status_code == 405


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/evidence/x/archive.zip", "/evidence/x/files/README.md"])
def test_what_is_no_page_is_itself_in_a_browser_too(built: Client, path: str) -> None:
    assert built.get(path, headers=BROWSER).headers["content-type"].endswith("json")


def test_assets_are_kept_for_ever(built: Client) -> None:
    response = built.get("/assets/main-1a2b.js")
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-encoding"] == "gzip"
    assert "javascript" in response.headers["content-type"]


@pytest.mark.parametrize(
    "path", ["/assets/../../secret", "/..%2fsecret", "/assets/%2e%2e/%2e%2e/secret", "/assets/gone.js"]
)
def test_nothing_outside_the_page_is_served(built: Client, path: str) -> None:
    response = built.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_without_a_built_page_a_browser_is_told_what_to_do(quiet: Client) -> None:
    response = quiet.get("/runs", headers=BROWSER)
    assert response.status_code == 503
    assert "make setup" in response.text


def test_a_foreign_host_is_refused(quiet: Client) -> None:
    response = quiet.get("/runs", headers={"Host": "evil.example"})
    assert response.status_code == 403
    assert "evil.example" in response.json()["detail"]


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": "http://["},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
])  # fmt: skip
def test_another_sites_form_is_refused(quiet: Client, headers: dict[str, str]) -> None:
    assert quiet.post("/runs", json={"config": "tiny"}, headers=headers).status_code == 403
    assert quiet.get("/runs", headers=headers).status_code == 200


def test_our_own_page_may_post(client: Client) -> None:
    origin = str(client.base_url).rstrip("/")
    response = client.post(
        "/runs", json={"config": "tiny"}, headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    )
    assert response.status_code == 201


def test_a_token_opens_by_header_and_by_cookie(tmp_path: Path) -> None:
    with serving(make_settings(tmp_path, token="s3cret")) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/runs").status_code == 401
        assert client.get("/runs", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/runs", headers={"Authorization": "Bearer s3cret"}).status_code == 200
        visit = client.get("/runs?token=s3cret&tag=a")
        assert (visit.status_code, visit.headers["location"]) == (303, "/runs?tag=a")
        assert "HttpOnly" in visit.headers["set-cookie"]
        assert client.get("/runs").status_code == 200  # the client keeps the cookie


def test_a_redirect_never_leads_to_another_host(tmp_path: Path) -> None:
    with serving(make_settings(tmp_path, token="s3cret")) as client:
        visit = client.get(f"{client.base_url}//evil.example/?token=s3cret")
        assert visit.headers["location"] == "/evil.example/"
