"""Watchers, the webhook, and what a run's processes use: noticed without a word of the run's own code."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from backend import settings, webhook
from backend.runs import watchers
from backend.settings import SettingsError, Thresholds
from evidence import processes, rundir
from tests.backend.client import Client, serving, until
from tests.backend.conftest import make_settings

BOUNDS = Thresholds()
LONG = {"training.steps": 5_000}


def codes(client: Client, run: str) -> list[str]:
    return [alert["code"] for alert in client.get(f"/runs/{run}").json()["alerts"]]


@contextmanager
def listening(status: int = 204, headers: dict[str, str] | None = None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address, and what was posted to it."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hook?a=1", got
        finally:
            server.shutdown()
            thread.join()


def test_a_run_that_stands_still_is_noticed_told_and_goes_on(tmp_path: Path) -> None:
    watch = Thresholds(every_seconds=0.1, stall_seconds=0.5, stall_steps=5, disk_bytes=0)
    with listening() as (address, got):
        chosen = make_settings(tmp_path, 0.02, webhook=address, webhook_private=True, watch=watch)
        with serving(chosen) as client:
            run = client.launch(overrides=LONG, name="watched")
            client.until(run, lambda item: item["step"] > 3)
            assert codes(client, run) == []
            trainer = rundir.read_document(chosen.runs / run / rundir.PROCESS)
            assert processes.send(trainer, signal.SIGSTOP)
            alert = client.until(run, lambda item: item["alerts"])["alerts"][0]
            assert (alert["code"], alert["message"][:16]) == ("no_step", "No step for more")
            assert client.get("/runs").json()["runs"][0]["alerts"] == [alert]
            assert until(lambda: got, bool) == [{"run": run, "name": "watched", **alert}]
            assert processes.send(trainer, signal.SIGCONT)
            client.until(run, lambda item: not item["alerts"])
            assert processes.send(trainer, signal.SIGSTOP)
            client.until(run, lambda item: item["alerts"])
            assert processes.send(trainer, signal.SIGKILL)
            assert client.until_state(run, "failed")["alerts"][0]["code"] == "no_step"
        chosen.database.unlink()
        with serving(chosen) as client:  # the folder remembers
            assert client.until_state(run, "failed")["alerts"][0]["code"] == "no_step"


def test_a_run_that_hangs_before_its_first_step_is_noticed_and_goes_on(tmp_path: Path) -> None:
    watch = Thresholds(every_seconds=0.1, silence_seconds=0.5, disk_bytes=0)
    stuck = "import sys, time; from pathlib import Path; run = Path(sys.argv[1])\n"
    stuck += "while not (run / 'go').exists(): time.sleep(0.02)\n"
    stuck += "from tests.stand_in import StandIn; trainer = StandIn(run, 0.02); phase = trainer.phase\n"
    stuck += "def held(name):\n    phase(name)\n    while not (run / name).exists(): time.sleep(0.02)\n"
    stuck += "trainer.phase = held; sys.exit(trainer.train())"
    chosen = make_settings(tmp_path, watch=watch, trainer_command=(sys.executable, "-c", stuck))
    with serving(chosen) as client:
        run = client.launch(overrides={"training.steps": 5})
        for code, word, file in [("silent", "starting", "go"), ("silent", "loading", "loading")]:
            alert = client.until(run, lambda item: item["alerts"])["alerts"][0]
            assert (alert["code"], f"seconds while {word}. Its log" in alert["message"]) == (code, True)
            (chosen.runs / run / file).touch()
            client.until(run, lambda item: not item["alerts"])
        for phase in ("building", "compiling", "training", "evaluating", "saving"):
            (chosen.runs / run / phase).touch()
        client.until_state(run, "finished")


def test_patience_with_a_phase_grows_with_what_it_took() -> None:
    assert watchers.silence("compiling", 600, [], BOUNDS) == {}
    assert watchers.silence("compiling", 601, [], BOUNDS) == {
        "silent": "Not a word for more than 600 seconds while compiling. Its log may say why."
    }
    assert watchers.silence("evaluating", 1_500, [100, 500], BOUNDS) == {}
    assert watchers.silence("evaluating", 1_501, [100, 500], BOUNDS) == {
        "silent": "Not a word for more than 1,500 seconds while evaluating; the longest time before took 500 seconds. "
        "Its log may say why."
    }
    said = [("loading", 0), ("compiling", 5), ("loading", 1_000), ("compiling", 1_002), ("training", 1_032)]
    events = [{"name": name, "time": f"2026-01-31T12:{at // 60:02}:{at % 60:02}.0Z"} for name, at in said]
    assert watchers.took_before("compiling", events) == [30.0]  # the first attempt ended while compiling
    assert watchers.took_before("loading", events) == [5.0, 2.0]
    assert "in its first step" in watchers.silence("training", 601, [], BOUNDS)["silent"]


def test_a_disk_that_fills_is_noticed(tmp_path: Path) -> None:
    watch = Thresholds(every_seconds=0.1, disk_share=1.0, disk_bytes=1 << 62)
    with serving(make_settings(tmp_path, 0.02, watch=watch)) as client:
        run = client.launch(overrides=LONG)
        until(lambda: codes(client, run), lambda found: found == ["disk"])
        client.post(f"/runs/{run}/stop")
        client.until_state(run, "stopped")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([5.0 - 0.01 * step for step in range(200)], ""),
        ([5.0] * 30, ""),
        ([5.0 * math.exp(-step / 30) for step in range(200)], ""),
        ([5.0 * math.exp(-step / 30) for step in range(100)] + [0.5] * 50, ""),  # worse, and still below its beginning
        ([5.0 * math.exp(-step / 30) for step in range(100)] + [9.0] * 30, "divergence"),
        ([5.0] * 60 + [9.0] * 30, ""),  # not twice its best
        ([5.0] * 60 + [11.0] * 30, "divergence"),
        ([5.0] * 99 + [50.0], ""),  # a spike
        ([5.0] * 20 + [math.nan], "not_finite"),
        ([5.0] * 20 + [math.inf, 5.0], ""),
    ],
)
def test_a_loss_that_diverges(values: list[float], code: str) -> None:
    assert "".join(watchers.losses(values[:40], values[-1000:], BOUNDS)) == code


def test_a_pace_that_drops() -> None:
    assert watchers.throughput([100.0] * 59, BOUNDS) == {}
    assert watchers.throughput([100.0] * 80 + [60.0] * 20, BOUNDS) == {}
    assert watchers.throughput([100.0] * 80 + [40.0] * 20, BOUNDS) == {
        "throughput": "Throughput dropped to 40%: 40 tokens a second over the latest 20 steps, 100 before."
    }


def test_patience_with_a_step_grows_with_the_steps() -> None:
    assert watchers.stall(59, [0.1], BOUNDS) == {}
    assert "no_step" in watchers.stall(61, [0.1], BOUNDS)
    assert watchers.stall(100, [10.0], BOUNDS) == {}
    assert watchers.stall(201, [10.0], BOUNDS) == {
        "no_step": "No step for more than 200 seconds; a step takes 10 seconds otherwise."
    }


def test_a_nearly_full_disk() -> None:
    assert watchers.disk(100 << 30, 5 << 30, BOUNDS) == {}
    assert "disk" in watchers.disk(100 << 30, 4 << 30, BOUNDS)
    assert watchers.disk(10 << 30, 1 << 30, BOUNDS) == {}


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.5.4", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff0e::1", False),
        ("::ffff:169.254.169.254", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
    ],
)
def test_an_address_is_public_or_not(address: str, public: bool) -> None:
    assert webhook.is_public(address) == public


@pytest.mark.parametrize(
    "address",
    ["ftp://example.org", "file:///etc/passwd", "http://", "http://a:b@example.org", "http://x:0/", "http://x:99999/",
     "http://example.org/a b", "//example.org", "http://[::1"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_at_the_start(address: str) -> None:
    with pytest.raises(SettingsError, match="ASSAY_WEBHOOK cannot be used"):
        settings.read({"ASSAY_WEBHOOK": address})


def test_a_private_address_is_not_posted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as (address, got):
        for host in ("127.0.0.1", "localhost", "0x7f000001", "2130706433"):
            with pytest.raises(webhook.Refused, match="no public address"):
                webhook.post(address.replace("127.0.0.1", host), {})
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (item, 80)) for item in ("93.184.216.34", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
        with pytest.raises(webhook.Refused, match=r"127\.0\.0\.1"):
            webhook.post("http://half.example/", {})
        assert got == []


def test_a_redirect_is_not_followed() -> None:
    with listening() as (other, elsewhere), listening(302, {"Location": other}) as (address, got):
        assert webhook.post(address, {"a": 1}, private=True) == 302
        assert (got, elsewhere) == ([{"a": 1}], [])


def test_an_answer_that_drips_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        end = threading.Event()

        def drip() -> None:
            peer, _ = listener.accept()
            with peer:
                while not end.wait(0.05):
                    try:
                        peer.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        with pytest.raises((OSError, Exception)):
            webhook.post(f"http://127.0.0.1:{listener.getsockname()[1]}/", {}, private=True, seconds=0.4)
        assert time.monotonic() - began < 3
        end.set()
        thread.join()


def test_telling_never_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # it accepts, and says nothing
        hook = webhook.Webhook(f"http://127.0.0.1:{listener.getsockname()[1]}/", private=True)
        hook.start()
        began = time.monotonic()
        for number in range(3 * webhook.WAITING):
            hook.send({"number": number})
        assert time.monotonic() - began < 1


def test_what_a_run_uses_is_shown(slow: Client, tmp_path: Path) -> None:
    run = slow.launch(overrides=LONG)
    nothing: dict[str, list[Any]] = {"time": [], "cpu_percent": [], "rss_bytes": [], "processes": []}
    assert slow.get(f"/runs/{run}/system").json() == nothing
    found = until(lambda: slow.get(f"/runs/{run}/system").json(), lambda item: item["time"])
    assert found["rss_bytes"][0] > 1 << 20
    assert found["processes"][0] >= 1
    path = tmp_path / "home" / "runs" / run / rundir.SYSTEM
    slow.post(f"/runs/{run}/stop")
    slow.until_state(run, "stopped")
    line = path.read_text().splitlines()[0]
    rows = [{**json.loads(line), "rss_bytes": number} for number in range(100)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no sample\n")
    thinned = slow.get(f"/runs/{run}/system?most=10").json()
    assert thinned["rss_bytes"] == list(range(9, 100, 10))


def test_a_run_whose_recorder_was_killed_is_stopped_by_the_server(slow: Client, tmp_path: Path) -> None:
    run = slow.launch(overrides=LONG)
    slow.until(run, lambda item: item["step"] > 0)
    folder = tmp_path / "home" / "runs" / run
    trainer = rundir.read_document(folder / rundir.PROCESS)
    os.kill(rundir.read_document(folder / rundir.LAUNCH)["recorder"]["pid"], signal.SIGKILL)
    shown = slow.until(run, lambda item: item["reason"])
    assert (shown["state"], "nobody will see its exit code" in shown["reason"]) == ("running", True)
    waiting = slow.launch(overrides=LONG)  # its device is taken
    slow.until(run, lambda item: item["step"] > shown["step"] + 5)
    assert slow.get(f"/runs/{waiting}").json()["state"] == "queued"
    assert slow.post(f"/runs/{run}/stop").status_code == 202
    ended = slow.until_state(run, "lost")
    assert ended["reason"].startswith("Ended; its exit code is unknown")
    assert ended["reason"].endswith(f'Its log ends with "finished: stopped" after step {ended["step"]}.')
    assert not processes.alive(trainer)
    assert slow.post(f"/runs/{run}/stop").status_code == 409
    slow.until_state(waiting, "running")


def test_what_a_lost_run_left_behind_is_ended_by_the_server(tmp_path: Path) -> None:
    left = "import os, time\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(300)"
    chosen = replace(make_settings(tmp_path), trainer_command=("python3", "-c", left))
    with serving(chosen) as client:
        run = client.launch()
        folder = chosen.runs / run
        until(lambda: processes.of_run(folder, 1), lambda found: len(found) == 2)
        recorder = rundir.read_document(folder / rundir.LAUNCH)["recorder"]
        assert processes.send(recorder, signal.SIGKILL)
        assert processes.wait(recorder, 10)
        assert processes.send(rundir.read_document(folder / rundir.PROCESS), signal.SIGKILL)
        client.until_state(run, "lost")
        until(lambda: processes.of_run(folder, 1), lambda found: not found)
