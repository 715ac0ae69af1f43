"""What the tests say to a server, and how they wait for what it does."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from backend.app import create_app
from backend.front import front
from backend.settings import Settings

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Message:
    """One server-sent event."""

    event: str
    data: Any
    id: str


class Client(httpx.Client):
    """An HTTP client of one server."""

    def launch(self, **request: Any) -> str:
        """The id of a new run."""
        response = self.post("/runs", json={"config": "tiny", **request})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def until(self, run: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The run as soon as it is as ``wanted``."""
        return until(lambda: self.get(f"/runs/{run}").raise_for_status().json(), wanted)

    def until_state(self, run: str, *states: str) -> dict[str, Any]:
        return self.until(run, lambda item: item["state"] in states)

    def messages(self, **query: Any) -> Iterator[Message]:
        """What the stream sends, for as long as one listens."""
        last = query.pop("last_event_id", None)
        headers = {"Last-Event-ID": last} if last else {}
        with self.stream("GET", "/stream", params=query, headers=headers) as response:
            assert response.status_code == 200, response.read()
            fields: dict[str, str] = {}
            for line in response.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "event" in fields:
                    yield Message(fields["event"], json.loads(fields["data"]), fields.get("id", ""))
                    fields = {}


def until(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """What ``look`` sees as soon as it is as ``wanted``. Fails after a minute, showing what was seen last."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not wanted(seen := look()):
        assert time.monotonic() < end, f"waited in vain; last seen: {seen}"
        time.sleep(0.02)
    return seen


@contextmanager
def serving(settings: Settings) -> Iterator[Client]:
    """A client of a server that runs in this process, on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        app = front(settings, create_app(settings))
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive(), bool)
            with Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()
