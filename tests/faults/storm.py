"""Kills without end: a trainer's reporter and an index's reader are killed by SIGKILL at random moments, again and again.

    python -m tests.faults.storm 5000      so many kills (a run of its own every 400), a line per run
    python -m tests.faults.storm 60 --servers      real servers, recorders and trainers instead

Whatever was killed when: a row whose log call returned is in the log, the rows of the index are the lines of the log,
and the chain of their hashes is whole.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select

from backend import tables
from backend.database import Database
from backend.runs import ingest, tail
from backend.runs.store import Store
from backend.runs.tail import Place
from evidence import attempts, canonical, events, rundir
from evidence.spec import TrainingSpec
from tests import runs
from training.reporter import Reporter, StepFacts

GENESIS = "0" * 64
EACH = 400


def storm(place: Path, kills: int, seed: int) -> int:
    """Kill ``kills`` times while one run is written and read; returns how many rows came of it. Asserts."""
    chance = random.Random(seed)
    run = runs.new_run(place / "runs", {"training.steps": 100_000})
    acknowledged = mmap.mmap(-1, 8)
    reader = writer = 0
    for _ in range(kills):
        writer = writer or _fork(lambda: _write(run, acknowledged))
        reader = reader or _fork(lambda: _read(place / "home", run))
        time.sleep(chance.uniform(0.0005, 0.03))
        if chance.random() < 0.5:
            writer = _kill(writer)
        else:
            reader = _kill(reader)
    for child in (writer, reader):
        if child:
            _kill(child)
    return _check(place / "home", run, *struct.unpack("q", acknowledged[:]))


def _write(run: Path, acknowledged: mmap.mmap) -> None:
    """What a trainer does at each step, as quickly as it can, going on behind the last whole line."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    rows = attempts.told(run)
    last = attempts.last(rows, events.Step)
    training = TrainingSpec(steps=100_000, batch_size=8, sequence_length=32)
    with Reporter(run, training) as reporter:
        step = last.step if last else 0
        reporter.start_chain(last.hash if last else GENESIS, step)
        while True:
            step += 1
            reporter.report(
                StepFacts(step=step, epoch=step / 10, loss=1 / step, grad_norm=1.0, param_norm=2.0, learning_rate=1e-3,
                          batch_sha256=f"{step:064x}", tokens=256, supervised_tokens=7)
            )  # fmt: skip
            acknowledged[:] = struct.pack("q", step)
            time.sleep(0.0002)


def _opened(home: Path, run: Path) -> tuple[Database, Place]:
    """The index, and how far it has read the run's log."""
    database = Database(home / "assay.db")
    with database.write() as connection:
        ask = rundir.read_ask(run)
        ingest.add(connection, ask, rundir.read_labels(run, ask))
    known = Store(database).standings()[0]
    return database, Place(known.offset, known.mark, known.offset)


def _read(home: Path, run: Path) -> None:
    """What a server does."""
    database, place = _opened(home, run)
    while True:
        piece = tail.read_on(run / rundir.EVENTS, place)
        if piece.anything:
            with database.write() as connection:
                ingest.take(connection, run.name, piece)
        place = piece.place
        time.sleep(0.0005)


def _check(home: Path, run: Path, acknowledged: int) -> int:
    lines, _ = rundir.whole_lines(run / rundir.EVENTS, 0, -1)
    documents = [canonical.decode(line) for line in lines]
    assert [item["step"] for item in documents] == list(range(1, len(lines) + 1))
    assert len(lines) >= acknowledged, f"{acknowledged} calls returned, {len(lines)} lines are there"
    before = GENESIS
    for item in documents:
        assert item["prev"] == before
        before = events.link(item)
        assert item["hash"] == before
    database, place = _opened(home, run)
    while (piece := tail.read_on(run / rundir.EVENTS, place)).place != place:
        with database.write() as connection:
            ingest.take(connection, run.name, piece)
        place = piece.place
    curves = Store(database).curves(run.name, ["loss"], 0, 2**53 - 1)
    with database.read() as connection:
        kept = connection.execute(select(func.count()).select_from(tables.rows)).scalar_one()
        chunked = select(func.sum(tables.chunks.c.count)).where(tables.chunks.c.series == "step")
        kept += connection.execute(chunked).scalar() or 0
    database.close()
    assert database.notice == ""
    assert kept == len(lines), "no row stands there twice"
    assert curves.steps.tolist() == list(range(1, len(lines) + 1))
    assert curves.columns["loss"].tolist() == [item["loss"] for item in documents]
    return len(lines)


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(1)


def _kill(child: int) -> int:
    """0, once it is gone. One that had ended by itself had an error."""
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it ended by itself, by an error that stands above"
    return 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kills", type=int)
    parser.add_argument("--servers", action="store_true")
    options = parser.parse_args()
    seed = int(time.time())
    if options.servers:
        from tests.faults.servers import storm as real

        with tempfile.TemporaryDirectory() as place:
            print(f"seed {seed}: {real(Path(place), options.kills, seed)} rows", flush=True)
        return
    done = 0
    while done < options.kills:
        kills = min(EACH, options.kills - done)
        with tempfile.TemporaryDirectory() as place:
            rows = storm(Path(place), kills, seed + done)
        done += kills
        print(f"{done:,} kills (seed {seed + done - kills}): {rows:,} lines, as many rows", flush=True)


if __name__ == "__main__":
    main()
