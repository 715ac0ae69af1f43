"""``assay demo``: the whole main job in the terminal. Launch over HTTP, follow, seal, verify."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from assay.client import ApiError, Client
from assay.progress import console, errors, follow
from evidence.command import FINDINGS, SUBMISSIONS, UNUSABLE
from evidence.command import main as evidence

CONFIG = "demo_reasoning"


def demo(url: str, token: str) -> int:
    """0 when a run was launched, finished, sealed and verified."""
    with _server(url) as address, Client(address, token) as client:
        try:
            run = client.create_run(CONFIG, name=f"demo-{time.strftime('%Y%m%d-%H%M%S')}", tags=["demo"])
            console.print(f"Launched {run['name']} with POST {address}/runs")
            last = follow(client.stream(run["id"]), run)
            if last["state"] != "finished":
                errors.print(f"The run is {last['state']}: {last['reason']}", markup=False)
                return FINDINGS
            client.seal(run["id"])
        except ApiError as error:
            errors.print(f"Error: {error}", markup=False)
            return UNUSABLE
        except httpx.HTTPError as error:
            errors.print(f"Error: the server at {address} went away: {error}", markup=False)
            return UNUSABLE
    place = Path(os.environ.get("ASSAY_SUBMISSIONS", SUBMISSIONS)) / run["name"]
    code = evidence(["verify", str(place)])
    console.print(f"The evidence lies in {place}")
    return code


@contextmanager
def _server(url: str) -> Iterator[str]:
    """The address of the server at ``url``, or of one that lives as long as the demo does."""
    try:
        httpx.get(f"{url}/health", headers={"Accept": "application/json"}, timeout=2).raise_for_status()
    except httpx.HTTPError:
        pass
    else:
        console.print(f"Using the server at {url}")
        yield url
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    console.print(f"Starting a server at {address}")
    environment = {**os.environ, "ASSAY_HOST": "127.0.0.1", "ASSAY_PORT": str(port), "ASSAY_DEMO": "0"}
    server = subprocess.Popen([sys.executable, "-m", "backend"], env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait(server, address)
        yield address
    finally:
        server.terminate()
        server.wait()


def _wait(server: subprocess.Popen[bytes], address: str) -> None:
    while server.poll() is None:
        try:
            httpx.get(f"{address}/health", timeout=2)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    sys.exit(UNUSABLE)  # the server said why on its way out
