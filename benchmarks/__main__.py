"""Run every benchmark once and print medians. Nothing here asserts: a figure is a figure, not a test."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from evidence import events, provenance
from evidence.command import SUBMISSIONS
from evidence.verify import verify


def seconds(work: Callable[[], object], times: int) -> float:
    """Median wall time of one call."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def verify_bundles() -> dict[str, float]:
    """Seconds to run every standard-library check on each committed bundle."""
    bundles = sorted(path for path in SUBMISSIONS.iterdir() if path.is_dir())
    return {f"verify {path.name}, s": seconds(lambda path=path: verify(path), 3) for path in bundles}  # type: ignore[misc]


def log_a_step() -> dict[str, float]:
    """Microseconds to chain, encode and append one step row to a file: what a trainer pays per step."""
    step = events.Step(
        time=events.now(), step=1, epoch=0.1, loss=2.0, grad_norm=1.0, param_norm=2.0, learning_rate=1e-3, examples=8,
        tokens=8, supervised_tokens=4, batch_sha256="0" * 64, step_seconds=0.1, monotonic_ns=1, prev="0" * 64, hash="",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = os.open(Path(folder) / "events.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

        def log() -> None:
            os.write(file, events.encode(events.chained(step)).encode() + b"\n")

        found = sorted(seconds(log, 1) * 1e6 for _ in range(5_000))
        os.close(file)
    return {"log a step, p50 µs": found[2_500], "log a step, p99 µs": found[4_950]}


def first_answer() -> dict[str, float]:
    """Seconds from starting the server on an empty folder to its first 200, and its memory then."""
    with tempfile.TemporaryDirectory() as home:
        port = "8791"
        environment = {**os.environ, "ASSAY_HOME": home, "ASSAY_PORT": port, "ASSAY_DEMO": "0"}
        began = time.perf_counter()
        server = subprocess.Popen([sys.executable, "-m", "backend"], env=environment, stdout=subprocess.DEVNULL)
        while server.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health").is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.01)
        elapsed = time.perf_counter() - began
        status = Path(f"/proc/{server.pid}/status").read_text()
        resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
        server.terminate()
        server.wait()
    return {"server start to first 200, s": elapsed, "server memory, MiB": resident}


def main() -> None:
    host = provenance.host()
    print(f"{host['cpu_model']}, {host['logical_cpus']} logical CPUs, Python {platform.python_version()}")
    for benchmark in (log_a_step, verify_bundles, first_answer):
        for name, value in benchmark().items():
            print(f"{value:12.3f}  {name}")


if __name__ == "__main__":
    main()
