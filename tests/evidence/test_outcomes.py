"""However a run ended, its bundle says so, verifies, and claims nothing that it does not have."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence import bundle, reading, record, report, rundir
from evidence.status import KILLED_ON_REQUEST
from evidence.verify import verify
from tests import runs
from tests.evidence import tamper
from tests.evidence.tamper import Change, edit_json, edit_lines, edit_text, set_value

MANIFEST, SUMMARY, LOG = reading.MANIFEST, reading.SUMMARY, reading.LOG


def stand_in(*options: str) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        runs.record(run, [*runs.STAND_IN, str(run), *options])

    return act


def killed_while_training(run: Path) -> None:
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.02"])
    runs.wait_for(lambda: b'"step":9,' in runs.log_of(run))
    runs.kill_trainer(run)


def killed_on_request(run: Path) -> None:
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.02"])
    runs.wait_for(lambda: b'"step":9,' in runs.log_of(run))
    assert record.request_kill(run)
    runs.wait_for((run / rundir.EXIT).exists)


def lost(run: Path) -> None:
    """The recorder is killed first, so that nobody sees the trainer end."""
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.02"])
    runs.wait_for(lambda: b'"step":9,' in runs.log_of(run))
    os.kill(rundir.read_document(run / rundir.LAUNCH)["recorder"]["pid"], signal.SIGKILL)
    os.kill(trainer := rundir.read_document(run / rundir.PROCESS)["pid"], signal.SIGKILL)
    runs.wait_for(lambda: not _is_there(trainer))


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def done_unseen(run: Path) -> None:
    """Only the recorder is killed: the trainer does all its steps, and nobody sees how it ends."""
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.02"])
    runs.wait_for(lambda: b'"step":9,' in runs.log_of(run))
    os.kill(rundir.read_document(run / rundir.LAUNCH)["recorder"]["pid"], signal.SIGKILL)
    trainer = rundir.read_document(run / rundir.PROCESS)["pid"]
    runs.wait_for(lambda: not _is_there(trainer))


def said_no_word(run: Path) -> None:
    runs.record(run, ["sh", "-c", "kill -9 $$"])


def said_an_error(run: Path) -> None:
    runs.record(run, ["sh", "-c", "echo starting; echo 'ValueError: no data'; exit 1"])


def said_none(run: Path) -> None:
    runs.record(
        run, ["sh", "-c", "echo \"TypeError: unsupported operand type(s) for +: 'int' and 'None' <PAD>\"; exit 1"]
    )


UNSEEN = "Ended; its exit code is unknown, because its recorder was gone by then. What it wrote is kept."

ENDS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    # how it ends, the outcome, how the sentence begins
    "failed in the middle": (stand_in("--fail-at", "13"), "failed",
                             "A run that failed: NonFiniteLoss while training: the loss became nan; lower optimizer.learning_rate. "
                             "Gemma-architecture model of 6.5 k parameters, 12 of 30 steps on 1 CPU device"),
    "killed in the middle": (killed_while_training, "failed", f"A run that failed: Killed while training: {runs.KILLED} Gemma"),
    "killed on request": (killed_on_request, "stopped", f"A run that was stopped: {KILLED_ON_REQUEST} Gemma"),
    "lost in the middle": (lost, "lost", "A run that was lost: Ended; its exit code is unknown, because its recorder was gone by then. What it wrote is kept. Gemma"),
    "done, and nobody saw how": (done_unseen, "lost", f'A run that was lost: {UNSEEN} Its log ends with "finished: completed" after step 30. Gemma'),
    "failed before its first step": (stand_in("--fail-at", "0"), "failed",
                                     "A run that failed before its first step: NonFiniteLoss while training: the loss became nan"),
    "failed before its first word": (said_an_error, "failed",
                                     "A run that failed before its first step: ValueError while starting: no data. It has no result."),
    "failed with a word for nothing": (said_none, "failed",
                                       "A run that failed before its first step: TypeError while starting: unsupported operand"),
    "killed before its first word": (said_no_word, "failed",
                                     f"A run that failed before its first step: Killed while starting: {runs.KILLED} It has"),
}  # fmt: skip


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run folder for each of ENDS."""
    root = tmp_path_factory.mktemp("runs")
    found = {}
    for name, (end, _, _) in ENDS.items():
        found[name] = runs.new_run(root, {"training.steps": 30, "checkpoints.every_steps": 5})
        end(found[name])
    return found


@pytest.fixture(scope="module")
def sealed(ended: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Their bundles. Never change one: take a copy."""
    root = tmp_path_factory.mktemp("bundles")
    return {name: bundle.seal(run, root / name.replace(" ", "_"), "ended") for name, run in ended.items()}


@pytest.mark.parametrize("name", ENDS)
def test_it_is_sealed_and_says_first_how_it_ended(sealed: dict[str, Path], name: str) -> None:
    _, outcome, beginning = ENDS[name]
    verdict = verify(sealed[name])
    assert verdict.failures == ()
    told = report.report(sealed[name], verdict)
    assert told.sentence.startswith(beginning)
    assert reading.Bundle(sealed[name]).told.run.outcome.kind == outcome
    assert verdict.level <= "E2"
    assert all(claim.verdict in ("holds", "unproven") for claim in told.claims)
    readme = (sealed[name] / reading.README).read_text()
    assert f"| Outcome | {outcome}: " in readme


@pytest.mark.parametrize(
    "name", ["failed before its first step", "failed before its first word", "killed before its first word"]
)
def test_without_a_row_it_is_coherent_and_claims_no_result(sealed: dict[str, Path], name: str) -> None:
    verdict = verify(sealed[name])
    assert verdict.level == "E2"
    assert verdict.gaps == ("E3 (bound) is not for a run that ended like this: it has no result to prove.",)
    assert {claim.id for claim in report.report(sealed[name], verdict).claims} == {"source", "config", "outcome"}
    assert not {"MET-01", "CKP-01", "HW-01"} & {result.id for result in verdict.results}
    assert not (sealed[name] / reading.METRICS).exists()


def test_an_early_end_quotes_the_line_of_the_log(sealed: dict[str, Path]) -> None:
    outcome: Any = reading.Bundle(sealed["failed before its first word"]).told.run.outcome
    assert (outcome.said.line, outcome.said.text, outcome.exit_code) == (2, "ValueError: no data", 1)
    assert "Line 2 of `kaggle_output_log.txt`:" in (sealed["failed before its first word"] / reading.README).read_text()


def tamper_stopped(folder: Path) -> None:
    """The last word dropped, and the outcome made a harmless one."""
    edit_lines(reading.EVENTS, lambda rows: rows.pop() and None)(folder)
    lines = [line for line in (folder / LOG).read_text().splitlines(keepends=True) if '"kind":"finished"' not in line]
    (folder / LOG).write_text("".join(line for line in lines if "NonFiniteLoss" not in line))
    stopped = {"kind": "stopped", "exit_code": 0, "because": "The loss had converged."}
    edit_json(MANIFEST, lambda d: d["run"].update(outcome=stopped))(folder)
    edit_json(MANIFEST, lambda d: d["attempts"][0].update(ended="cut_off"))(folder)


FORGED: list[tuple[str, str, Change, str]] = [
    ("failed in the middle", "a failed run called completed",
     set_value(MANIFEST, "run.outcome", {"kind": "completed", "exit_code": 0}), "MET-09"),
    ("failed in the middle", "another error", set_value(MANIFEST, "run.outcome.error_message", "a cosmic ray"), "MET-09"),
    ("failed in the middle", "a milder word for it", set_value(MANIFEST, "run.outcome.error_type", "Hiccup"), "MET-09"),
    ("failed in the middle", "a quote of another line", set_value(MANIFEST, "run.outcome.said.line", 1), "MET-09"),
    ("failed in the middle", "a quote that is not in the log", set_value(MANIFEST, "run.outcome.said.text", "all is well"), "MET-09"),
    ("failed in the middle", "a state of a step that was not done",
     edit_json(MANIFEST, lambda d: d["checkpoints"][-1].update(step=30)), "CKP-01"),
    ("failed in the middle", "no state of the start", edit_json(MANIFEST, lambda d: d.update(checkpoints=d["checkpoints"][1:])), "CKP-01"),
    ("failed in the middle", "a failed run called stopped", tamper_stopped, "MET-09"),
    ("failed in the middle", "another exit code", set_value(MANIFEST, "run.outcome.exit_code", 0), "MET-09"),
    ("failed in the middle", "another stage", set_value(MANIFEST, "run.outcome.stage", "evaluating"), "MET-09"),
    ("failed in the middle", "an error that is kept quiet",
     set_value(MANIFEST, "run.outcome.said", {"kind": "silent", "because": "it said no word"}), "MET-09"),
    ("killed in the middle", "a kill called a mishap", set_value(MANIFEST, "run.outcome.error_type", "Mishap"), "MET-09"),
    ("killed on request", "a kill that the exit code does not bear out", set_value(MANIFEST, "run.outcome.exit_code", -15), "MET-09"),
    ("killed on request", "a kill called another end", set_value(MANIFEST, "run.outcome.because", "It had converged."), "MET-09"),
    ("failed before its first step", "events that the log does not have",
     edit_lines(reading.EVENTS, lambda rows: rows.pop(2) and None), "MET-04"),
    ("failed before its first word", "a log of rows behind it",
     lambda f: (f / LOG).write_text(':::EVID {"kind":"phase","name":"training","time":"2026-01-01T00:00:00.000000Z"}\n' + (f / LOG).read_text()) and None, "MET-04"),
    ("killed in the middle", "a killed run called completed",
     set_value(MANIFEST, "run.outcome", {"kind": "completed", "exit_code": 0}), "SCH-06"),
    ("killed in the middle", "a killed run called lost, with a finished line from nowhere",
     edit_lines(reading.EVENTS, lambda rows: rows.append({"kind": "finished", "outcome": "completed", "step": 9, "time": rows[-1]["time"], "train_seconds": 1.0})), "MET-04"),
    ("lost in the middle", "a lost run called completed",
     set_value(MANIFEST, "run.outcome", {"kind": "completed", "exit_code": 0}), "SCH-06"),
    ("done, and nobody saw how", "a last word that is left out",
     set_value(MANIFEST, "run.outcome.because", UNSEEN), "MET-09"),
    ("done, and nobody saw how", "another last word",
     set_value(MANIFEST, "run.outcome.because", f'{UNSEEN} Its log ends with "finished: stopped" after step 30.'), "MET-09"),
    ("failed before its first step", "a run without rows called completed",
     set_value(MANIFEST, "run.outcome", {"kind": "completed", "exit_code": 0}), "SCH-01"),
    ("failed before its first step", "a nonce of another run", set_value(MANIFEST, "run.nonce", "ab" * 32), "SCH-04"),
    ("failed before its first word", "a log that says something else", edit_text(LOG, "no data", "all well"), "MET-09"),
    ("failed before its first word", "a loss where there was none", set_value(SUMMARY, "loss", 0.1), "SCH-02"),
    ("failed before its first word", "a null", set_value(MANIFEST, "run.outcome.stage", None), "SCH-01"),
    ("failed before its first word", "another run's summary", set_value(SUMMARY, "run_id", "20260101-000000-000000"), "SCH-04"),
    ("failed before its first word", "an end before the beginning",
     set_value(MANIFEST, "run.finished_at", "2026-01-01T00:00:00.000000Z"), "TIM-01"),
    ("failed before its first word", "rows slipped in", lambda f: (f / reading.METRICS).write_text("{}\n") and None, "STR-01"),
    ("failed before its first word", "an override that was not made", set_value(MANIFEST, "config.overrides.0.effective", 31), "PRV-04"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "check"), [(item[0], *item[2:]) for item in FORGED], ids=[item[1] for item in FORGED]
)
def test_a_nicer_end_is_caught(sealed: dict[str, Path], tmp_path: Path, name: str, change: Change, check: str) -> None:
    folder = Path(shutil.copytree(sealed[name], tmp_path / "ended"))
    change(folder)
    tamper.reseal(folder)
    found = {result.id for result in verify(folder).failures}
    assert check in found
    assert not found & {"INT-01", "INT-02", "INT-03"}


@pytest.mark.parametrize("name", ENDS)
def test_sealing_twice_gives_the_same_bytes(
    ended: dict[str, Path], sealed: dict[str, Path], tmp_path: Path, name: str
) -> None:
    again = bundle.seal(ended[name], tmp_path, "ended")
    assert _content(again) == _content(sealed[name])


def _content(folder: Path) -> dict[str, bytes]:
    names = reading.Bundle(folder).sealed_files
    return {name: (folder / name).read_bytes() for name in [*names, reading.SUMS]}


def evaluating_then_failing(run: Path) -> None:
    runs.record(run, [*runs.STAND_IN, str(run), "--evaluate-at", "10", "--fail-at", "15"])


def test_a_run_that_was_cut_short_after_an_evaluation_says_after_which_step(tmp_path: Path) -> None:
    run = runs.new_run(tmp_path / "runs", {"training.steps": 30})
    evaluating_then_failing(run)
    place = bundle.seal(run, tmp_path, "ended")
    verdict = verify(place)
    assert verdict.failures == ()
    assert "(9 correct) after step 10." in report.report(place, verdict).sentence
    assert "| Evaluated | after step 10 |" in (place / reading.README).read_text()


def ended_after_its_last_word(run: Path) -> None:
    script = f"{' '.join([*runs.STAND_IN, str(run)])} ; kill -11 $$"
    runs.record(run, ["sh", "-c", script])


def killed_after_its_last_word(run: Path) -> None:
    """Who asked for it was late: the steps were done and said to be."""
    kill = json.dumps({"time": "2999-01-01T00:00:00.000000Z"})
    script = f"{' '.join([*runs.STAND_IN, str(run)])} ; echo '{kill}' > {run / rundir.KILL} ; kill -9 $$"
    runs.record(run, ["sh", "-c", script])


def lost_after_its_last_word(run: Path) -> None:
    record.launch(run, [*runs.STAND_IN, str(run), "--step-seconds", "0.02"])
    runs.wait_for(lambda: b'"step":9,' in runs.log_of(run))
    os.kill(rundir.read_document(run / rundir.LAUNCH)["recorder"]["pid"], signal.SIGKILL)
    runs.wait_for(lambda: b'"kind":"finished"' in runs.log_of(run))
    trainer = rundir.read_document(run / rundir.PROCESS)["pid"]
    runs.wait_for(lambda: not _is_there(trainer))


@pytest.mark.parametrize(("end", "begins"), [
    (ended_after_its_last_word, "A run that failed: Killed while evaluating: The trainer was killed by SIGSEGV."),
    (killed_after_its_last_word, f"A run that failed: Killed while evaluating: {runs.KILLED}"),
    (lost_after_its_last_word, "A run that was lost: "),
])  # fmt: skip
def test_a_last_word_is_not_how_it_ended(tmp_path: Path, end: Callable[[Path], None], begins: str) -> None:
    run = runs.new_run(tmp_path / "runs", {"training.steps": 30})
    end(run)
    place = bundle.seal(run, tmp_path, "ended")
    verdict = verify(place)
    assert verdict.failures == ()
    assert report.report(place, verdict).sentence.startswith(begins)


@pytest.mark.parametrize("lines", [1, 2])
def test_killed_between_writing_down_and_repeating_is_sealed(
    ended: dict[str, Path], tmp_path: Path, lines: int
) -> None:
    """The row is in events.jsonl; its echo, or only the line for people, is not in the output."""
    run = Path(shutil.copytree(ended["killed in the middle"], tmp_path / ended["killed in the middle"].name))
    output = (run / rundir.OUTPUT).read_text().splitlines(keepends=True)
    while not output[-1].startswith("step "):
        output.pop()
    (run / rundir.OUTPUT).write_text("".join(output[:-lines]))
    said = (run / rundir.EVENTS).read_text().splitlines(keepends=True)
    while '"kind":"step"' not in said[-1]:
        said.pop()
    (run / rundir.EVENTS).write_text("".join(said))
    assert verify(bundle.seal(run, tmp_path, "ended")).failures == ()
