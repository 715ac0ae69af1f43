"""A resumed run is one run: its state, its folder, and its evidence."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evidence import attempts, bundle, canonical, events, reading, record, report, rundir
from evidence.status import Status, awaited, status
from evidence.verdict import NOT_RUN
from evidence.verify import verify
from tests import runs
from tests.evidence import tamper
from tests.evidence.tamper import Change, edit_lines, edit_text, set_value

SPEC = {"training.steps": 40, "checkpoints.every_steps": 10}


def state(run: Path) -> Status:
    return status(run, attempts.last(attempts.told(run), events.Finished))


def cut_off(root: Path, number: signal.Signals, overrides: dict[str, int] | None = None) -> Path:
    """A run whose trainer got a signal between steps 11 and 20, as its recorder did not ask."""
    run = runs.new_run(root, {**SPEC, **(overrides or {})}, name="twice")
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.1"])
    runs.wait_for(lambda: b'"step":13,' in runs.log_of(run))
    runs.kill_trainer(run, number)
    return run


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed once. Copy it."""
    return cut_off(tmp_path_factory.mktemp("killed"), signal.SIGKILL)


@pytest.fixture(scope="module")
def resumed(killed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, gone on to its end."""
    run = Path(shutil.copytree(killed, tmp_path_factory.mktemp("resumed") / killed.name))
    with (run / rundir.OUTPUT).open("ab") as output:
        output.write(b':::EVID {"kind":"step","lo')  # the kill came in the middle of a line
    assert runs.record(run, resume=True) == 0
    return run


@pytest.fixture(scope="module")
def bundle_of_two(resumed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle.seal(resumed, tmp_path_factory.mktemp("bundles"), "twice")


def test_a_resumed_run_is_judged_by_its_latest_attempt(killed: Path, resumed: Path) -> None:
    assert (state(killed).state, state(killed).reason) == ("failed", runs.KILLED)
    assert (state(resumed).state, state(resumed).exit_code) == ("finished", 0)
    assert state(resumed).started_at > state(killed).ended_at


def test_each_attempt_keeps_its_own_documents(killed: Path, resumed: Path) -> None:
    earlier = resumed / "attempts" / "1"
    for name in (rundir.LAUNCH, rundir.EXIT, rundir.PROCESS, rundir.COMMIT):
        assert (earlier / name).read_bytes() == (killed / name).read_bytes()
    assert rundir.read_document(resumed / rundir.LAUNCH)["attempt"] == 2
    assert (resumed / rundir.EVENTS).read_bytes().startswith((killed / rundir.EVENTS).read_bytes())
    assert (resumed / rundir.OUTPUT).read_bytes().startswith((killed / rundir.OUTPUT).read_bytes())


def test_what_was_done_again_stands_once(resumed: Path) -> None:
    said = attempts.told(resumed)
    told = [event.step for event in said if isinstance(event, events.Step)]
    assert told[:13] == list(range(1, 14))
    assert told[-30:] == list(range(11, 41))
    stands = attempts.standing((event, event) for event in said)
    assert [event.step for event, _ in stands if isinstance(event, events.Step)] == list(range(1, 41))


def test_a_resumed_run_is_live_while_it_runs_and_failed_when_it_is_killed_again(killed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(killed, tmp_path / killed.name))
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.05"], resume=True)
    runs.wait_for(lambda: state(run).state != "failed")
    assert state(run).state in ("starting", "running")
    runs.wait_for(lambda: b'"kind":"resumed"' in runs.log_of(run))
    assert state(run).state == "running"
    with pytest.raises(attempts.CannotResume, match="is running; only a run that has ended can be resumed"):
        attempts.check(run)
    runs.kill_trainer(run)
    assert state(run).state == "failed"
    assert runs.record(run, resume=True) == 0
    assert [item.name for item in sorted((run / "attempts").iterdir())] == ["1", "2"]
    assert [event.attempt for event in attempts.told(run) if isinstance(event, events.Resumed)] == [2, 3]


def test_a_stopped_run_that_is_resumed_and_killed_is_not_called_stopped(tmp_path: Path) -> None:
    run = cut_off(tmp_path, signal.SIGTERM, {"training.steps": 1000})
    assert state(run).state == "stopped"
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.05"], resume=True)
    runs.wait_for(lambda: b'"kind":"resumed"' in runs.log_of(run))
    runs.kill_trainer(run)
    assert (state(run).state, state(run).reason) == ("failed", runs.KILLED)


def test_a_resumed_run_becomes_evidence(bundle_of_two: Path) -> None:
    verdict = verify(bundle_of_two)
    assert verdict.failures == ()
    document = json.loads((bundle_of_two / reading.MANIFEST).read_text())
    assert verdict.level == ("E2" if document["source"]["clean"] else "E1")
    open_checks = {result.id for result in verdict.results if result.result == NOT_RUN and result.level <= "E2"}
    assert open_checks <= {"PRV-02"}
    assert [(item["from_step"], item["ended"]) for item in document["attempts"]] == [(0, "cut_off"), (10, "completed")]
    assert document["metrics"]["rows"] == 40
    assert "| Attempts | 2: from step 0 to 1" in (bundle_of_two / reading.README).read_text()
    assert {claim.verdict for claim in report.report(bundle_of_two, verdict).claims} <= {"holds", "unproven"}


def test_a_run_stopped_in_its_second_attempt_becomes_evidence(tmp_path: Path) -> None:
    run = cut_off(tmp_path / "runs", signal.SIGTERM, {"training.steps": 1000})
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.02"], resume=True)
    runs.wait_for(lambda: b'"step":25,' in runs.log_of(run))
    assert record.request_stop(run)
    runs.wait_for((run / rundir.EXIT).exists)
    place = bundle.seal(run, tmp_path / "out", "halted")
    assert verify(place).failures == ()
    stated = json.loads((place / reading.MANIFEST).read_text())["attempts"]
    assert [item["ended"] for item in stated] == ["stopped", "stopped"]


def event(index: int, kind: str, **values: object) -> Change:
    """Change the index-th event of a kind, in the event log and in the process's own."""

    def act(rows: list[dict[str, object]]) -> None:
        [item for item in rows if item["kind"] == kind][index].update(values)

    def change(folder: Path) -> None:
        edit_lines(reading.EVENTS, act)(folder)
        lines = iter((folder / reading.EVENTS).read_text().splitlines())
        log = folder / reading.LOG
        log.write_text("".join(f"{_again(line, lines)}\n" for line in log.read_text().splitlines()))

    return change


def _again(line: str, lines: Iterator[str]) -> str:
    if (
        not line.startswith(events.LOG_MARK)
        or not line.endswith("}")
        or any(f'"kind":"{kind}"' in line for kind in ("step", "sample"))
    ):
        return line  # of no event, half of one, a step or a sample
    return events.LOG_MARK + next(lines)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda _: None, ""),
        (set_value(reading.MANIFEST, "attempts.0.last_step", 12), "RES-01"),
        (set_value(reading.MANIFEST, "attempts.0.ended", "stopped"), "RES-01"),
        (set_value(reading.MANIFEST, "attempts.1.code", "not a git checkout"), "RES-02"),
        (event(1, "program", program_sha256="ab" * 32), "RES-02"),
        (event(1, "devices", devices_used=2, mesh={"data": 2}), "RES-02"),
        (event(0, "resumed", step=11), "RES-03"),
        (event(0, "resumed", chain_at_step="ab" * 32), "RES-03"),
        (edit_text(reading.LOG, '"step":12,', '"step":13,'), "RES-04"),
        (lambda folder: _drop_first_attempt(folder), "RES-01"),
    ],
)  # fmt: skip
def test_a_forged_attempt_is_caught(bundle_of_two: Path, tmp_path: Path, change: Change, check: str) -> None:
    folder = Path(shutil.copytree(bundle_of_two, tmp_path / "twice"))
    change(folder)
    tamper.reseal(folder)
    failed = {result.id for result in verify(folder).failures}
    assert check in failed if check else not failed


def _drop_first_attempt(folder: Path) -> None:
    log = folder / reading.LOG
    lines = log.read_text().splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if '"kind":"run_start"' in line]
    log.write_text("".join(lines[starts[1] :]))


def test_an_event_written_down_but_not_yet_repeated_at_the_kill_is_no_forgery(killed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(killed, tmp_path / "runs" / killed.name))
    with (run / rundir.EVENTS).open("a") as stream:
        stream.write(events.encode(events.Phase(time=events.now(), name="saving")) + "\n")
    assert runs.record(run, resume=True) == 0
    place = bundle.seal(run, tmp_path / "out", "twice")
    edit_lines(reading.EVENTS, lambda rows: rows.insert(3, dict(rows[3])))(place)
    tamper.reseal(place)
    assert "MET-04" in {result.id for result in verify(place).failures}


def test_attempts_on_other_code_are_refused_a_bundle(resumed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(resumed, tmp_path / "runs" / resumed.name))
    place = run / "attempts" / "1" / rundir.LAUNCH
    document = rundir.read_document(place)
    document["source"]["commit"] = "0123456789" * 4
    rundir.write_document(place, document)
    with pytest.raises(bundle.SealRefused, match=r"attempts\[1\]\.code: expected commit 0123456789"):
        bundle.seal(run, tmp_path / "out", "x")


def with_spec(run: Path) -> None:
    document = rundir.read_document(run / rundir.SPEC)
    document["spec"]["training"]["seed"] = 9
    rundir.write_document(run / rundir.SPEC, document)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda run: shutil.rmtree(run / "checkpoints"), "has no checkpoint to go on from; start a new run"),
        (with_spec, "began with the spec of digest"),
        (lambda run: (run / rundir.LAUNCH).unlink(), "was never started"),
        (lambda run: (run / rundir.EVENTS).unlink(), "never spoke; there is nothing to resume"),
        (lambda run: (run / rundir.SPEC).unlink(), "is not a run that can be resumed: No such file"),
    ],
)
def test_what_cannot_be_resumed_is_said_in_one_sentence(
    killed: Path, tmp_path: Path, harm: Callable[[Path], None], sentence: str
) -> None:
    run = Path(shutil.copytree(killed, tmp_path / killed.name))
    harm(run)
    with pytest.raises(attempts.CannotResume, match=sentence):
        attempts.check(run)
    assert runs.record(run, resume=True) == 2


def test_a_finished_run_is_not_resumed(resumed: Path) -> None:
    with pytest.raises(attempts.CannotResume, match="is finished: all 40 steps are done"):
        attempts.check(resumed)


def test_half_a_line_in_the_middle_of_an_attempt_proves_nothing(bundle_of_two: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle_of_two, tmp_path / "twice"))
    edit_text(reading.LOG, "step 30/40", ':::EVID {"kind":"step","lo\nstep 30/40')(folder)
    tamper.reseal(folder)
    verdict = verify(folder)
    assert {"MET-04", "RES-01", "RES-04"} <= {result.id for result in verdict.results if result.result == NOT_RUN}
    assert verdict.level == "E1"


def test_a_run_that_was_asked_to_go_on_is_queued_until_that_attempt_is_launched(killed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(killed, tmp_path / killed.name))
    assert awaited(run) == 0
    attempts.ask(run)
    assert (awaited(run), state(run)) == (2, Status("queued", "Waits to go on after step 10."))
    with pytest.raises(attempts.CannotResume, match="waits to go on already; stop takes that back"):
        attempts.ask(run)
    attempts.take_back(run)
    assert state(run) == state(killed)
    attempts.ask(run)
    assert runs.record(run, resume=True) == 0
    assert (awaited(run), state(run).state) == (0, "finished")
    assert rundir.read_document(run / rundir.RESUME)["attempt"] == 2


def test_who_holds_a_run_has_it_alone(killed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(killed, tmp_path / killed.name))
    with attempts.held(run), pytest.raises(attempts.CannotResume, match="by somebody else at this moment"):
        attempts.ask(run)
    with pytest.raises(attempts.CannotResume, match="No such file"), attempts.held(tmp_path / "gone"):
        pass


def test_labels_are_what_was_asked_until_something_else_is_written(killed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(killed, tmp_path / killed.name))
    asked = rundir.read_ask(run)
    assert rundir.read_labels(run, asked) == rundir.Labels("twice", "", ())
    wanted = rundir.Labels("other", "a note", ("a", "b"), archived=True)
    rundir.write_labels(run, wanted)
    assert rundir.read_labels(run, asked) == wanted
    known = rundir.read_document(run / rundir.LABELS)
    for broken in ({"schema": "x"}, {"archived": "no"}, {"name": 3}, {"tags": 3}, {"more": 1}):
        rundir.write_document(run / rundir.LABELS, {**known, **broken})
        with pytest.raises(canonical.JsonError, match=r"^labels\.json"):
            rundir.read_labels(run, asked)
