"""The Python client: Assay's HTTP interface as functions over plain documents.

ApiError                  the server refused; ``str()`` is what it said, ``problems`` each field's sentence
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

Document = dict[str, Any]


class ApiError(RuntimeError):
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        try:
            problem = response.json()
        except ValueError:
            problem = {"title": f"{response.status_code} {response.reason_phrase}"}
        self.problems: list[Document] = problem.get("errors") or []
        said = [item["message"] for item in self.problems] or [problem.get("detail") or problem.get("title", "")]
        super().__init__("\n".join(said))


class Client:
    """One server. Calls raise ApiError where it refuses, httpx.HTTPError where it cannot be reached."""

    def __init__(self, url: str, token: str = "") -> None:
        headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=httpx.Timeout(30, connect=5))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def health(self) -> Document:
        return self._call("GET", "/health")

    def create_run(self, config: str, overrides: Document | None = None, **options: Any) -> Document:
        """Launch a run of a shipped config. ``overrides``: settings by dotted key, ``{"training.steps": 50}``."""
        return self._call("POST", "/runs", json={"config": config, "overrides": overrides or {}, **options})

    def run(self, run_id: str) -> Document:
        return self._call("GET", f"/runs/{run_id}")

    def runs(self) -> list[Document]:
        """The newest runs."""
        return self._call("GET", "/runs")["runs"]  # type: ignore[no-any-return]

    def metrics(self, run_id: str) -> Document:
        """Columns of a run's steps: ``{"step": [...], "columns": {"loss": [...]}}``."""
        return self._call("GET", f"/runs/{run_id}/metrics")

    def bundle(self, name: str) -> Document:
        """A bundle, verified as it is now."""
        return self._call("GET", f"/evidence/{name}")

    def stop(self, run_id: str) -> Document:
        return self._call("POST", f"/runs/{run_id}/stop")

    def seal(self, run_id: str, name: str = "") -> Document:
        return self._call("POST", f"/runs/{run_id}/seal", json={"name": name} if name else {})

    def stream(self, run_id: str) -> Iterator[tuple[str, Document]]:
        """(event, data) of a run's live stream, from its beginning; ends when the connection does."""
        with self._http.stream("GET", "/stream", params={"runs": run_id}, timeout=httpx.Timeout(60)) as response:
            if response.is_error:
                response.read()
                raise ApiError(response)
            name, data = "message", []
            for line in response.iter_lines():
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    data.append(line[5:].removeprefix(" "))
                elif not line and data:
                    yield name, json.loads("\n".join(data))
                    name, data = "message", []

    def _call(self, method: str, path: str, **options: Any) -> Document:
        response = self._http.request(method, path, **options)
        if response.is_error:
            raise ApiError(response)
        return response.json()  # type: ignore[no-any-return]
