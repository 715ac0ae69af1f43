"""Several processes on this machine, as one command: ``python -m training RUN --processes N``.

Each gets a number, and the address where the first one listens. Who is killed is named here, whatever the others
noticed of it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from training import peers
from training.errors import ADDRESS_TAKEN, COMPLETED, FAILED, STOPPED

TRIES = 5
GRACE_SECONDS = 15.0
"""How long the others may take to end when one has failed."""
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def run(folder: Path, count: int, arguments: list[str]) -> int:
    """Train ``folder`` in ``count`` processes; the exit code of the first that ended otherwise than well, if any."""
    for left in reversed(range(TRIES)):  # somebody may be faster at a free port
        code = _Members(folder, count, arguments).wait()
        if code != ADDRESS_TAKEN:
            break
        print("trying another port" if left else f"giving up after {TRIES} ports that were taken", flush=True)
    return code


class _Members:
    def __init__(self, folder: Path, count: int, arguments: list[str]) -> None:
        address = f"127.0.0.1:{_free_port()}"
        self._ended: dict[int, int] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        signals = (signal.SIGTERM, signal.SIGINT)
        for each in signals:
            signal.signal(each, self._stop)
        # A stop that comes while they are started waits until all are there to hear it; they begin unblocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            for number in range(count):
                self._processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "training", str(folder), *arguments],
                        env={**peers.environment(peers.Group(address, count, number)), **os.environ},
                        preexec_fn=_begin,
                    )
                )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    def wait(self) -> int:
        """All of them ended; see ``run``."""
        deadline = float("inf")
        while len(self._ended) < len(self._processes):
            for number, process in enumerate(self._processes):
                if number not in self._ended and process.poll() is not None:
                    self._ended[number] = process.returncode
                    if process.returncode == ADDRESS_TAKEN:
                        return self._kill_the_rest()  # nothing has begun
                    if process.returncode not in (COMPLETED, STOPPED):
                        deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
            if time.monotonic() > deadline:
                return self._kill_the_rest()
            time.sleep(0.02)
        return self._code()

    def _code(self) -> int:
        for number, code in self._ended.items():
            if code < 0:
                name = signal.Signals(-code).name
                print(f"error: process {number} of {len(self._processes)} was killed by {name}", flush=True)
                return FAILED
        bad = [code for code in self._ended.values() if code not in (COMPLETED, STOPPED)]
        return bad[0] if bad else max(self._ended.values())

    def _kill_the_rest(self) -> int:
        code = self._code()
        for process in self._processes:
            process.kill()
            process.wait()
        return code

    def _stop(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def _begin() -> None:
    """In the child: no trainer outlives the command that a recorder watches, and each hears a stop."""
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
