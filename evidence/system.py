"""What a run's processes use of the machine: a line of ``system.jsonl`` every two seconds, written by its recorder."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from evidence import canonical, events, processes, rundir, typed

EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Sample:
    """Of all of the run's processes together. ``cpu_percent``: 100 is one core; ``rss_bytes`` counts what they share
    once for each."""

    time: str
    cpu_percent: float
    rss_bytes: int
    processes: int


class Sampler:
    """Samples what runs below this process, until it is stopped. ``path`` is appended to."""

    def __init__(self, path: Path, every_seconds: float = EVERY_SECONDS) -> None:
        self._path, self._every = path, every_seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin. Signals stay with the main thread: one that is handed to this thread would not wake it."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        used, at = _used(), time.monotonic()
        try:
            torn = rundir.has_torn_line(self._path)
            with self._path.open("a", encoding="utf-8") as log:
                if torn:
                    log.write("\n")
                while not self._end.wait(self._every):
                    before, began = used, at
                    tree = processes.below(os.getpid())
                    used, at = {(item.pid, item.start_ticks): item.ticks for item in tree}, time.monotonic()
                    ticks = sum(count - before.get(key, 0) for key, count in used.items())
                    percent = 100 * ticks / os.sysconf("SC_CLK_TCK") / (at - began)
                    rss = sum(item.rss_bytes for item in tree)
                    sample = Sample(events.now(), round(percent, 1), rss, len(tree))
                    log.write(canonical.encode(asdict(sample)) + "\n")
                    log.flush()
        except OSError as error:  # a full disk must not end a run
            print(f"what the run's processes use is not written down any more: {error}", flush=True)


def read(path: Path) -> list[Sample]:
    """The samples in a file; lines that are none are left out."""
    lines, _ = rundir.whole_lines(path, 0, limit_bytes=-1)
    found = []
    for line in lines:
        try:
            found.append(typed.read(Sample, canonical.decode(line)))
        except ValueError:
            continue
    return found


def _used() -> dict[tuple[int, int], int]:
    return {(item.pid, item.start_ticks): item.ticks for item in processes.below(os.getpid())}
