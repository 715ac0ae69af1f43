"""From lines to rows to curves: whatever happens to a log and to whoever reads it, the index is what the log says."""

from __future__ import annotations

import json
import math
import os
import struct
import tempfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from backend import tables
from backend.database import Database
from backend.runs import chunks, ingest, rows, tail, view
from backend.runs.answers import STEP_COLUMNS
from backend.runs.bell import Bell
from backend.runs.chunks import append
from backend.runs.follower import Follower
from backend.runs.queue import Queue
from backend.runs.rows import MISSING, PACKED, Row, Table
from backend.runs.store import Store
from backend.runs.tail import Place
from backend.runs.witness import Witness
from evidence import canonical, events, rundir
from tests import runs
from tests.backend.conftest import database_url
from tests.evidence.test_protocol import STEPS

LAST = 2**53 - 1
EXAMPLES = 8 if os.environ.get("ASSAY_TEST_POSTGRES") else 60  # each makes two databases
ROW = events.Step(
    time="2026-01-31T12:00:00.000000Z", step=1, epoch=0.5, loss=2.0, grad_norm=1.0, param_norm=3.0,
    learning_rate=0.001, examples=8, tokens=256, supervised_tokens=7, batch_sha256="a" * 64, step_seconds=0.25,
    monotonic_ns=1, prev="b" * 64, hash="", tokens_per_second=1024.0,
)  # fmt: skip


def line(step: int, loss: float | None = None) -> bytes:
    value = math.sin(step) if loss is None else loss
    return events.chain(replace(ROW, step=step, loss=value, tokens=256 * step))[1].encode() + b"\n"


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


OPEN: list[Database] = []


class Reader:
    """An index, and how far one run's log was read into it."""

    def __init__(self, run: Path, home: Path) -> None:
        self.run, self.home = run, home
        self.open()

    def open(self) -> None:
        self.database = Database(self.home / "assay.db", database_url(self.home))
        OPEN.append(self.database)
        with self.database.write() as connection:
            ask = rundir.read_ask(self.run)
            ingest.add(connection, ask, rundir.read_labels(self.run, ask))
        known = Store(self.database).standings()[0]
        self.place = Place(known.offset, known.mark, known.offset)

    def close(self) -> None:
        OPEN.remove(self.database)
        self.database.close()

    def read(self, die: bool = False) -> None:
        while (piece := tail.read_on(self.run / rundir.EVENTS, self.place)).place != self.place:
            with self.database.write() as connection:
                ingest.take(connection, self.run.name, piece)
                if die:
                    connection.rollback()
                    return
            self.place = piece.place

    def content(self) -> dict[str, Any]:
        """Every row of the index, but for the order in which chunks came."""
        found: dict[str, Any] = {}
        with self.database.read() as connection:
            for table in (tables.rows, tables.events, tables.chunks):
                columns = [column for column in table.c if column.name != "id"]
                found[table.name] = sorted(map(repr, connection.execute(select(*columns))))
            row = dict(connection.execute(select(tables.runs)).mappings().one())
        return {**found, **{key: value for key, value in row.items() if key not in ("revision", "generation")}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return runs.new_run(tmp_path / "runs", {"training.steps": 100})


@given(STEPS)
def test_a_row_is_read_the_quick_way_as_it_is_the_strict_way(step: events.Step) -> None:
    text = events.chain(step)[1].encode()
    quick = rows.recognized(text)
    strict = rows.of_event(events.decode(text))  # type: ignore[arg-type]
    assert quick is None or quick == strict or "nan" in repr(strict)
    assert quick is None or (quick[0], PACKED.pack(*quick[1])) == (strict[0], PACKED.pack(*strict[1]))


def test_a_row_as_trainers_write_it_is_read_the_quick_way() -> None:
    for loss in (2.0, 1.2345678901234567, 1e-07, 3.5e20, 0.0):
        assert rows.recognized(line(3, loss).strip()) is not None
        assert rows.recognized_together([line(3, loss).strip()] * 2, 9) is not None
    assert rows.recognized(line(3, math.nan).strip()) is None


@given(st.lists(STEPS, min_size=1, max_size=12), st.integers(0, 10**6))
def test_rows_are_read_together_as_they_are_one_by_one(steps: list[events.Step], start: int) -> None:
    lines = [events.chain(step)[1].encode() for step in steps]
    offset, alone = start, []
    for text in lines:
        offset += len(text) + 1
        alone += [Row(offset, step, PACKED.pack(*said)) for step, said in filter(None, [rows.recognized(text)])]
    together = rows.recognized_together(lines, start)
    assert together is None or list(together.rows()) == alone


@pytest.mark.parametrize(
    "text",
    [b'"loss":1e999', b'"loss":01', b'"loss":.5', b'"loss":NaN', b'"loss":12345678901234567890', b'"loss":"NaN "'],
)
def test_what_is_not_strict_json_is_no_row(text: bytes) -> None:
    whole = line(3, 2.0).strip().replace(b'"loss":2.0', text)
    assert rows.recognized(whole) is None
    assert rows.recognized_together([line(2).strip(), whole, line(4).strip()], 0) is None
    with pytest.raises(events.EventError):
        events.decode(whole)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("rows"), st.integers(1, 12)),
        st.tuples(st.just("torn"), st.binary(min_size=1, max_size=30).filter(lambda data: b"\n" not in data)),
        st.tuples(st.just("junk"), st.binary(max_size=30).filter(lambda data: b"\n" not in data)),
        st.tuples(st.just("resume"), st.integers(0, 40)),
        st.tuples(st.sampled_from(["read", "killed", "restart", "replaced", "cut", "phase"]), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_any_interleaving_of_append_tear_kill_and_restart_gives_the_same_rows(
    monkeypatch: pytest.MonkeyPatch, actions: list[tuple[str, Any]]
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 5)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        run = runs.new_run(root / "runs", {"training.steps": 100})
        log, step = run / rundir.EVENTS, 0
        log.touch()
        reader = Reader(run, root / "first")
        for action, value in actions:
            if action in ("rows", "junk", "resume", "phase") and rundir.has_torn_line(log):
                data = log.read_bytes()
                log.write_bytes(data[: data.rfind(b"\n") + 1])
            with log.open("ab") as stream:
                if action == "rows":
                    for _ in range(value):
                        step += 1
                        stream.write(line(step))
                elif action == "torn":
                    stream.write(value)
                elif action == "junk":
                    stream.write(value + b"\n")
                elif action == "phase":
                    stream.write(events.encode(events.Phase(time=ROW.time, name="training")).encode() + b"\n")
                elif action == "resume":
                    step = min(step, value)
                    said = events.Resumed(time=ROW.time, attempt=2, step=step, checkpoint="c", chain_at_step="d")
                    stream.write(events.encode(said).encode() + b"\n")
            if action == "replaced":
                log.unlink()
                log.write_bytes(line(1, 7.5))
                step = 1
            elif action == "cut":
                log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
            elif action in ("read", "killed"):
                reader.read(die=action == "killed")
            elif action == "restart":
                reader.close()
                reader.open()
        reader.read()
        again = Reader(run, root / "second")
        again.read()
        assert reader.content() == again.content()
        shown = [Store(item.database).curves(run.name, ["loss"], 0, LAST).binary("") for item in (reader, again)]
        assert shown[0] == shown[1]
        steps, end, told = [], 0, Store(reader.database)
        while (block := told.steps_after(run.name, end, 7))[0]:
            steps += block[0]["step"]
            end = block[1]
        assert sorted(set(steps)) == Store(reader.database).curves(run.name, ["loss"], 0, LAST).steps.tolist()
        for item in (reader, again):
            item.close()


def test_a_line_of_a_hundred_megabytes_is_passed_over_in_bounded_memory(run: Path, tmp_path: Path) -> None:
    reader, log = Reader(run, tmp_path / "home"), run / rundir.EVENTS
    log.write_bytes(line(1))
    reader.read()
    tracemalloc.start()
    for _ in range(100):
        with log.open("ab") as stream:
            stream.write(b"x" * (1 << 20))
        reader.read()
    assert reader.place.offset == len(line(1))
    assert reader.place.searched == log.stat().st_size
    with log.open("ab") as stream:
        stream.write(b"\n" + line(2))
    reader.read()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6 * tail.LONGEST_LINE
    found = reader.content()
    assert (found["offset"], found["step"], found["invalid_lines"]) == (log.stat().st_size, 2, 1)


def test_a_whole_line_as_long_as_the_half_one_before_it_is_read(run: Path, tmp_path: Path) -> None:
    whole, log = line(7), run / rundir.EVENTS
    log.write_bytes(b"x" * len(whole))
    database = Database(tmp_path / "assay.db")
    store = Store(database)
    queue = Queue(run.parent, store, lambda _: None, lambda _: True, lambda _: True)
    follower = Follower(run.parent, database, store, queue, Bell(), Witness(run.parent, tmp_path))
    follower.adopt(run)
    with log.open("r+b") as stream:  # as a trainer does that goes on with a run
        stream.truncate(0)
        stream.write(whole)
    follower.refresh(run)
    assert store.summary(run.name).step == 7
    follower.stop()
    database.close()


def test_lines_that_are_no_text_are_counted_and_offsets_stay_true(run: Path, tmp_path: Path) -> None:
    reader, log = Reader(run, tmp_path / "home"), run / rundir.EVENTS
    log.write_bytes(line(1) + b"\xff\xfe\x00\n" + b'{"kind":"phase","time":"\\ud800"}\n' + b"\r\n\n" + line(2))
    before = log.read_bytes()
    reader.read()
    found = reader.content()
    assert (found["offset"], found["step"], found["invalid_lines"]) == (len(before), 2, 4)
    columns, end = Store(reader.database).steps_after(run.name, 0, 10)
    assert (columns["step"], end) == ([1, 2], len(before))
    assert log.read_bytes() == before


def test_what_is_no_number_comes_out_as_it_went_in(run: Path, tmp_path: Path) -> None:
    reader = Reader(run, tmp_path / "home")
    values = [1.0, math.nan, math.inf, -math.inf, 2.0]
    (run / rundir.EVENTS).write_bytes(b"".join(line(step, loss) for step, loss in enumerate(values, 1)))
    reader.read()
    curves = Store(reader.database).curves(run.name, ["loss", "device_memory_bytes"], 0, LAST)
    shown = json.loads(curves.json())
    assert shown["columns"]["loss"] == [1.0, "NaN", "Infinity", "-Infinity", 2.0]
    assert shown["columns"]["device_memory_bytes"] == [None] * 5
    assert reader.content()["loss"] == 2.0


def _filled(database: Database, run: str, losses: list[float]) -> None:
    blank = [MISSING] * len(STEP_COLUMNS)
    packed = (PACKED.pack(loss, *blank[1:]) for loss in losses)
    with database.write() as connection:
        append(connection, run, Table.of([Row(step, step, values) for step, values in enumerate(packed, 1)]))


NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=300), st.integers(1, 60))
def test_every_extreme_of_every_bucket_is_drawn(losses: list[float], buckets: int) -> None:
    values = np.array(losses)
    found = view.thin(view.Curves(np.arange(1, len(losses) + 1), {"loss": values}), buckets)
    kept = found.columns["loss"]
    assert [losses[step - 1] for step in found.steps] == pytest.approx(kept.tolist(), nan_ok=True, abs=0)
    size = max(1, -(-len(losses) // buckets))
    for start in range(0, len(losses), size):
        part = values[start : start + size]
        shown = kept[(found.steps > start) & (found.steps <= start + size)]
        finite = part[np.isfinite(part)]
        if len(finite):
            assert (shown[np.isfinite(shown)].min(), shown[np.isfinite(shown)].max()) == (finite.min(), finite.max())
        assert np.isfinite(part).all() == np.isfinite(shown).all()
    assert len(kept) <= 5 * buckets + 1 or len(losses) <= buckets


def test_a_curve_that_is_too_long_to_be_read_is_drawn_from_what_its_chunks_say(tmp_path: Path) -> None:
    database = Database(tmp_path / "assay.db")
    losses = [math.sin(step / 300) for step in range(30_000)]
    losses[12_345], losses[23_456] = 99.0, -99.0
    _filled(database, "r", losses)
    store = Store(database)
    thinned = store.curves("r", ["loss"], 0, LAST, 10)
    assert 99.0 in thinned.columns["loss"]
    assert -99.0 in thinned.columns["loss"]
    assert len(thinned.steps) < 700
    assert all(losses[step - 1] == value for step, value in zip(thinned.steps, thinned.columns["loss"], strict=True))
    window = store.curves("r", ["loss"], 12_000, 13_000, 100_000)
    assert window.steps.tolist() == list(range(12_000, 13_001))
    database.close()


@pytest.mark.skipif(bool(os.environ.get("ASSAY_TEST_POSTGRES")), reason="of the file of an index")
def test_a_point_costs_less_than_seventeen_bytes_on_disk(run: Path, tmp_path: Path) -> None:
    reader = Reader(run, tmp_path / "home")
    (run / rundir.EVENTS).write_bytes(b"".join(line(step) for step in range(1, 20_001)))
    reader.read()
    reader.close()
    assert (tmp_path / "home" / "assay.db").stat().st_size / (20_000 * 8) < 17


def test_the_binary_answer_is_what_it_says(run: Path, tmp_path: Path) -> None:
    reader = Reader(run, tmp_path / "home")
    (run / rundir.EVENTS).write_bytes(b"".join(line(step) for step in range(1, 2001)))
    reader.read()
    data = Store(reader.database).curves(run.name, ["loss", "tokens"], 5, 1500).binary("c")
    head, _, rest = data.partition(b"\n")
    told = json.loads(head)
    assert told == {"rows": 1496, "columns": ["step", "loss", "tokens"], "cursor": "c"}
    assert (len(head) + 1) % 8 == 0
    numbers = struct.unpack(f"<{3 * told['rows']}d", rest)
    assert numbers[: told["rows"]] == tuple(range(5, 1501))
    assert numbers[told["rows"]] == math.sin(5)
    assert canonical.decode(head)
