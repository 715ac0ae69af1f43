"""What it costs to log, keep and show a run: beside MLflow, trackio, TensorBoard's writer and expman, in one run.

    python -m benchmarks.storage PYTHON      PYTHON: of an environment with the peers (see benchmarks/README.md)

Results go to ``results/storage.json``: medians of interleaved rounds, and the rounds themselves.
"""

from __future__ import annotations

import json
import os
import platform
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from evidence import canonical, events, provenance, rundir
from tests import runs
from tests.backend.conftest import make_home

HERE = Path(__file__).parent
STEPS, METRICS, ROUNDS, KILLS = 20_000, 5, 5, 10
FEWER = {"mlflow": 1_000, "trackio": 20_000}
PORT = 8295


@contextmanager
def server(place: Path, command: tuple[str, ...] = ()) -> Iterator[tuple[httpx.Client, int]]:
    """A real server over ``place``, and its process."""
    code = (
        "import sys\nfrom dataclasses import replace\nfrom backend import settings\n"
        f"from backend.__main__ import serve\nasked, command = settings.read(), {command!r}\n"
        "sys.exit(serve(replace(asked, trainer_command=command or asked.trainer_command)))"
    )
    environment = {**os.environ, "ASSAY_HOME": str(place / "home"), "ASSAY_PORT": str(PORT), "ASSAY_DEMO": "0"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=120) as client:
            while True:
                try:
                    client.get("/health").raise_for_status()
                    break
                except httpx.TransportError:
                    time.sleep(0.005)
            yield client, process.pid
    finally:
        process.terminate()
        process.wait()


def trainer(steps: int, pause: float) -> tuple[str, ...]:
    return (sys.executable, "-m", "benchmarks.storage_trainer", str(steps), str(pause))


def launch(client: httpx.Client, steps: int) -> str:
    spec = {"name": "bench", "model": runs.CONFIG["model"], "data": {"train_path": "rows.jsonl", "eval_rows": 10},
            "training": {"steps": steps, "batch_size": 8, "sequence_length": 64},
            "optimizer": {"learning_rate": 0.001}}  # fmt: skip
    return str(client.post("/runs", json={"spec": spec}).raise_for_status().json()["id"])


def ours(place: Path) -> dict[str, float]:
    """From the trainer's first log call to all rows read back from a server that follows it."""
    home = make_home(place)
    with server(place, trainer(STEPS, 0)) as (client, _):
        run = launch(client, STEPS)
        client.get(f"/runs/{run}/metrics")  # the first curve that a server draws waits for numpy's import
        while not (home / "runs" / run / "calls.bin").exists():  # asking while it logs would only slow it down
            time.sleep(0.002)
        last = {"keys": "loss", "from_step": STEPS}
        while not client.get(f"/runs/{run}/metrics", params=last).json()["step"]:
            time.sleep(0.002)
        data = client.get(f"/runs/{run}/columns", params={"keys": "loss,grad_norm,param_norm,learning_rate,tokens"})
        end = time.monotonic_ns()
        client.get(f"/runs/{run}")
    lines, _ = rundir.whole_lines(home / "runs" / run / rundir.EVENTS, 0, -1)
    rows = [canonical.decode(line) for line in lines if b'"kind":"step"' in line]
    first = rows[0]["monotonic_ns"]
    took = array("q")
    took.frombytes((home / "runs" / run / "calls.bin").read_bytes())
    calls = sorted(took)
    return {
        "seconds": (end - first) / 1e9,
        "steps": json.loads(data.content.partition(b"\n")[0])["rows"],
        "bytes": (home / "assay.db").stat().st_size,
        "p50_us": calls[len(calls) // 2] / 1e3,
        "p99_us": calls[len(calls) * 99 // 100] / 1e3,
    }


def peer(python: str, name: str, place: Path) -> dict[str, float]:
    """``name`` may end in the numbers of a call."""
    name, _, numbers = name.partition(" ")
    command = [python, str(HERE / "storage_peers.py"), name, str(place), str(FEWER.get(name, STEPS)), numbers or "5"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=place)
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def logging(python: str) -> dict[str, Any]:
    """Durable ingest, the cost of a log call, and bytes on disk."""
    rounds: dict[str, list[dict[str, float]]] = {}
    for number in range(ROUNDS):
        for name in ("assay", "expman", "expman 8", "tensorboardx", "trackio", "mlflow"):
            with tempfile.TemporaryDirectory() as place:
                found = ours(Path(place)) if name == "assay" else peer(python, name, Path(place))
            # Our rows carry three numbers more than were asked for: tokens, step seconds and the epoch.
            numbers = METRICS + 3 * (name in ("assay", "expman 8"))
            found["points_per_second"] = found["steps"] * METRICS / found["seconds"]
            found["numbers_per_second"] = found["steps"] * numbers / found["seconds"]
            found["bytes_per_point"] = found["bytes"] / found["steps"] / numbers
            rounds.setdefault(name, []).append(found)
            print(number, name, {key: round(value, 2) for key, value in found.items()}, flush=True)
    return {
        name: {key: statistics.median(item[key] for item in found) for key in found[0]}
        for name, found in rounds.items()
    } | {"rounds": rounds}


def kills(python: str) -> dict[str, Any]:
    """Log calls that returned and are not there after SIGKILL, over all kills."""
    chance, lost = random.Random(1), {"assay": 0, "expman": 0, "tensorboardx": 0, "trackio": 0}
    calls = dict(lost)
    for _ in range(KILLS):
        for name in lost:
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder)
                if name == "assay":
                    (place / "acknowledged").write_bytes(bytes(8))
                    command = [*trainer(10**6, 0.0005), str(place)]
                else:
                    command = [python, str(HERE / "storage_peers.py"), name, str(place), "forever"]
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                while not (place / "acknowledged").exists() or not any((place / "acknowledged").read_bytes()):
                    time.sleep(0.01)
                time.sleep(chance.uniform(0.3, 1.2))
                process.send_signal(signal.SIGKILL)
                process.wait()
                said = int.from_bytes((place / "acknowledged").read_bytes(), "little")
                if name == "assay":
                    lines, _ = rundir.whole_lines(place / rundir.EVENTS, 0, -1)
                    kept = len(lines)
                else:
                    count = [python, str(HERE / "storage_peers.py"), name, str(place), "count"]
                    kept = int(subprocess.run(count, check=True, capture_output=True, text=True).stdout.split()[-1])
                calls[name] += said
                lost[name] += max(0, said - kept)
    return {name: {"calls": calls[name], "lost": lost[name]} for name in lost}


def visible() -> dict[str, float]:
    """Milliseconds from the log call, on the trainer's clock, to a client of the stream that has parsed the row."""
    seen: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as place:
        home = make_home(Path(place))
        with server(Path(place), trainer(400, 0.03)) as (client, _):
            run = launch(client, 400)

            def listen() -> None:
                address = f"http://127.0.0.1:{PORT}/stream?runs={run}"
                with httpx.Client(timeout=60) as other, other.stream("GET", address) as response:
                    for line in response.iter_lines():
                        if line.startswith('data: {"run"') and '"columns"' in line:
                            now = time.monotonic_ns()
                            for step in json.loads(line[6:])["columns"]["step"]:
                                seen[step] = now
                                if step == 400:
                                    return

            thread = threading.Thread(target=listen)
            thread.start()
            thread.join()
        lines, _ = rundir.whole_lines(home / "runs" / run / rundir.EVENTS, 0, -1)
        rows = [canonical.decode(line) for line in lines if b'"kind":"step"' in line]
    # The first rows may have been there before the client was.
    found = sorted((seen[row["step"]] - row["monotonic_ns"]) / 1e6 for row in rows if row["step"] > 40)
    return {"p50_ms": found[len(found) // 2], "p95_ms": found[len(found) * 95 // 100]}


def write_run(home: Path, steps: int) -> Path:
    """A long run, by the trainer's reporter, as if it had ended."""
    run = runs.new_run(home / "runs", {"training.steps": steps})
    subprocess.run([*trainer(steps, 0), str(run)], check=True, stdout=subprocess.DEVNULL)
    (run / "calls.bin").unlink()
    rundir.write_document(run / rundir.CANCELLED, {"time": events.now()})
    return run


def reading() -> dict[str, float]:
    """Milliseconds to answer over HTTP, medians of eleven."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        home = make_home(Path(place))
        hundred, million = write_run(home, 100_000), write_run(home, 1_000_000)
        began = time.perf_counter()
        with server(Path(place)) as (client, pid):
            while client.get(f"/runs/{million.name}").json().get("step", 0) < 1_000_000:
                time.sleep(0.1)
            found["read 1.1 M rows from the folders, s"] = time.perf_counter() - began
            for text, run, what, query in (
                ("100 k points, whole, binary", hundred, "columns", {"keys": "loss"}),
                ("1 M points, whole, binary", million, "columns", {"keys": "loss"}),
                ("1 M points, 2,000 pixels, JSON", million, "metrics", {"keys": "loss", "buckets": 2000}),
                ("1 M points, 2,000 pixels, binary", million, "columns", {"keys": "loss", "buckets": 2000}),
            ):
                found[f"{text}, ms"] = _answer(client, f"/runs/{run.name}/{what}", query)
            found["bytes per point on disk"] = (home / "assay.db").stat().st_size / 1_100_000 / 8
            found["memory afterwards, MiB"] = _resident(pid)
    return found


def listing() -> dict[str, float]:
    from sqlalchemy import insert

    from backend import tables
    from backend.database import Database
    from backend.runs import ingest

    found: dict[str, float] = {}
    for count in (1_000, 10_000):
        with tempfile.TemporaryDirectory() as place:
            home = make_home(Path(place))
            for number in range(count):
                folder = home / "runs" / f"20260101-{number // 100:06}-{number % 100:06x}"
                folder.mkdir(parents=True)
                (folder / rundir.SPEC).write_text("{}")
            latest = {
                **ingest.UNREAD,
                "step": 1000,
                "loss": 1.5,
                "spark": [k / 7 for k in range(39)],
                "phase": "saving",
            }
            database = Database(home / "assay.db")
            rows = [
                {"id": folder.name, "name": f"run {number}", "config": "c", "device": "cpu", "notes": "", "tags": ["a"],
                 "created_at": "2026-01-31T12:00:00.000000Z", "state": "finished", "reason": "", "bundles": [],
                 "steps": 1000, "generation": 0, "revision": number + 1, **latest}
                for number, folder in enumerate(rundir.folders(home / "runs"))
            ]  # fmt: skip
            with database.write() as connection:
                connection.execute(insert(tables.runs), rows)
            database.close()
            with server(Path(place)) as (client, _):
                began = time.perf_counter()  # moments after the start
                assert len(client.get("/runs", params={"limit": count}).json()["runs"]) == count
                found[f"{count:,} runs, asked for first, ms"] = (time.perf_counter() - began) * 1e3
                found[f"{count:,} runs, ms"] = _answer(client, "/runs", {"limit": count})
    return found


def starting() -> dict[str, float]:
    """From the spawn to the page's HTML, to all of its files, and to the first answer of the API."""
    page, whole, took, cpu, memory, small = [], [], [], [], [], []
    environment = {**os.environ, "ASSAY_PORT": str(PORT), "ASSAY_DEMO": "0"}
    for _ in range(7):
        with tempfile.TemporaryDirectory() as place:
            environment["ASSAY_HOME"] = str(make_home(Path(place)))
            began = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-m", "backend"], env=environment, stdout=subprocess.DEVNULL)
            with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=120) as client:
                while True:
                    try:
                        html = client.get("/runs", headers={"Accept": "text/html"}).raise_for_status().text
                        break
                    except httpx.TransportError:
                        time.sleep(0.002)
                page.append(time.perf_counter() - began)
                for path in re.findall(r'(?:src|href)="(/assets/[^"]+)"', html):
                    client.get(path).raise_for_status()
                whole.append(time.perf_counter() - began)
                client.get("/health").raise_for_status()
                took.append(time.perf_counter() - began)
                told = Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]
                cpu.append(sum(map(int, told)) / os.sysconf("SC_CLK_TCK"))
                time.sleep(1)
                memory.append(_resident(process.pid))
                small.append(_answer(client, "/health", {}))
            process.terminate()
            process.wait()
    found = {
        "start to the page, s": page,
        "start to all files of the page, s": whole,
        "start to the first answer of the API, s": took,
        "CPU-seconds to the first answer of the API": cpu,
        "idle memory, MiB": memory,
        "a small answer on an open connection, ms": small,
    }
    return {name: statistics.median(values) for name, values in found.items()}


def _answer(client: httpx.Client, path: str, query: dict[str, Any]) -> float:
    found = []
    for _ in range(11):
        began = time.perf_counter()
        client.get(path, params=query).raise_for_status()
        found.append((time.perf_counter() - began) * 1e3)
    return statistics.median(found)


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def main(python: str, *only: str) -> None:
    host = provenance.host()
    place = HERE / "results" / "storage.json"
    report: dict[str, Any] = json.loads(place.read_text()) if place.exists() else {}
    report["machine"] = f"{host['cpu_model']}, {host['logical_cpus']} logical CPUs, Python {platform.python_version()}"
    parts: dict[str, Callable[[], Any]] = {
        "starting": starting,
        "visible": visible,
        "listing": listing,
        "reading": reading,
        "logging": lambda: logging(python),
        "kills": lambda: kills(python),
    }
    for name, part in parts.items():
        if not only or name in only:
            report[name] = {**part(), "load_average": os.getloadavg()[0]}
            print(name, json.dumps({k: v for k, v in report[name].items() if k != "rounds"}, indent=1), flush=True)
            place.write_text(canonical.pretty(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
