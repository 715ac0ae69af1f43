"""A whole run through ``python -m training``, read back from its folder."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from evidence import canonical, events, job_folder, preflight, rundir, scoring
from evidence.schedule import learning_rate
from training import batches, rows, tokenizer
from training.reporter import Reporter, StepFacts
from training.throughput import utilization

from .conftest import REPOSITORY, events_of, new_run, run_trainer, spec_with

Smoke = tuple[Path, "subprocess.CompletedProcess[str]"]


def of(run: Path, kind: type[events.Event]) -> list:
    return [event for event in events_of(run) if isinstance(event, kind)]


def test_smoke_tiny_trains_end_to_end_on_cpu(smoke: Smoke) -> None:
    run, ended = smoke
    assert ended.returncode == 0, ended.stderr
    steps, finished = of(run, events.Step), of(run, events.Finished)
    assert [row.step for row in steps] == list(range(1, 31))
    assert steps[-1].loss < 3.5 < steps[0].loss
    assert [item.outcome for item in finished] == ["completed"]
    assert of(run, events.Devices)[0].platform == "cpu"
    assert {phase.name for phase in of(run, events.Phase)} == set(events.PHASES)


def test_standard_output_carries_the_events_and_a_line_for_each_step(smoke: Smoke) -> None:
    run, ended = smoke
    lines = ended.stdout.splitlines()
    echoed = [line.removeprefix(events.LOG_MARK) for line in lines if line.startswith(events.LOG_MARK)]
    assert echoed == (run / rundir.EVENTS).read_text().splitlines()
    spoken = [line for line in lines if line.startswith("step ")]
    assert len(spoken) == 30
    assert spoken[0].startswith("step 1/30 loss ")
    assert " tok/s ETA " in spoken[0]


def test_rows_are_chained_from_the_run_s_genesis(smoke: Smoke) -> None:
    run, _ = smoke
    ask, data = rundir.read_ask(run), of(run, events.Data)[0]
    head = events.genesis(
        {
            "nonce": ask.nonce,
            "commit": "none",
            "spec_sha256": ask.spec_sha256,
            "data_sha256": canonical.digest({"train": data.train.sha256, "eval": data.eval.sha256}),
            "tokenizer_sha256": data.tokenizer_sha256,
            "program_sha256": of(run, events.Program)[0].program_sha256,
        }
    )
    saved = {item.step: item.chain_at_step for item in of(run, events.Checkpoint)}
    assert saved[0] == head
    for row in of(run, events.Step):
        assert row.prev == head
        assert events.chained(row).hash == row.hash
        head = row.hash
    assert saved[30] == head


def test_every_batch_and_learning_rate_can_be_recomputed(smoke: Smoke) -> None:
    run, _ = smoke
    spec = rundir.read_ask(run).spec
    kept = tuple(rows.Row(**canonical.decode(line)) for line in (run / "data/train.jsonl").read_bytes().splitlines())
    encoded = batches.encode(kept, spec.data, tokenizer.Bytes(), spec.training.sequence_length)
    supervised = 0
    for row in of(run, events.Step):
        batch = batches.batch(encoded, spec.training.seed, spec.training.batch_size, row.step)
        supervised += batch.supervised_tokens
        assert row.batch_sha256 == batch.sha256
        assert row.supervised_tokens == supervised
        assert row.tokens == row.examples * spec.training.sequence_length
        assert row.learning_rate == learning_rate(spec.optimizer, spec.training.steps, row.step)


def test_step_seconds_are_differences_of_the_monotonic_clock(smoke: Smoke) -> None:
    steps = of(smoke[0], events.Step)
    for before, row in pairwise(steps):
        assert row.step_seconds == (row.monotonic_ns - before.monotonic_ns) / 1e9


def test_a_row_says_its_speed_and_of_a_cpu_nothing_that_no_table_or_runtime_knows(smoke: Smoke) -> None:
    run, _ = smoke
    training = rundir.read_ask(run).spec.training
    for row in of(run, events.Step):
        assert row.tokens_per_second == training.batch_size * training.sequence_length / row.step_seconds
    for line in (run / rundir.EVENTS).read_text().splitlines():
        assert "model_flops_utilization" not in line
        assert "device_memory" not in line


def test_a_row_says_its_share_of_a_known_peak_and_the_memory_that_the_runtime_tells(tmp_path: Path) -> None:
    spec = spec_with()
    with Reporter(new_run(tmp_path, spec), spec.training) as reporter:
        reporter.start_chain("ab" * 32, share_of_peak=partial(utilization, "TPU v5 lite", 8, 1e9))
        reporter.report(
            StepFacts(step=1, epoch=0.1, loss=1.0, grad_norm=1.0, param_norm=1.0, learning_rate=0.1, tokens=320,
                      batch_sha256="ab" * 32, supervised_tokens=7, device_memory_bytes=5, device_memory_peak_bytes=9)
        )  # fmt: skip
    (row,) = [event for path in tmp_path.iterdir() for event in events_of(path)]
    assert isinstance(row, events.Step)
    assert row.model_flops_utilization == 1e9 / row.step_seconds / (8 * 197e12)
    assert (row.device_memory_bytes, row.device_memory_peak_bytes) == (5, 9)
    assert events.chained(row).hash == row.hash
    assert utilization("NVIDIA H100 80GB HBM3", 8, 1e9, 1.0) is None


def test_evaluations_are_recomputable_from_their_predictions(smoke: Smoke) -> None:
    run, _ = smoke
    delimiter = rundir.read_ask(run).spec.data.answer_delimiter
    found = of(run, events.Evaluation)
    assert [item.step for item in found] == [0, 20, 30]
    for item in found:
        data = (run / item.predictions.path).read_bytes()
        lines = [canonical.decode(line) for line in data.splitlines()]
        assert canonical.sha256(data) == item.predictions.sha256
        assert [line["correct"] for line in lines] == [
            scoring.is_correct(line["expected"], line["text"], delimiter) for line in lines
        ]
        assert item.correct == sum(line["correct"] for line in lines)
        assert all(tokenizer.Bytes().decode(line["token_ids"]) == line["text"] for line in lines)
    assert found[0].loss > found[-1].loss
    assert Counter(sample.step for sample in of(run, events.Sample)) == {0: 2, 20: 2, 30: 2}


def test_checkpoints_are_kept_by_the_policy_and_bound_to_their_rows(smoke: Smoke) -> None:
    run, _ = smoke
    found = {item.step: item for item in of(run, events.Checkpoint)}
    assert list(found) == [0, 10, 20, 30]
    folders = sorted(path.name for path in (run / "checkpoints").iterdir() if path.is_dir())
    assert folders == ["step_000000", "step_000030"]  # keep: 1, besides the first
    assert found[0].parameters_digest == of(run, events.Model)[0].parameters_digest
    assert found[30].parameters_digest == of(run, events.Evaluation)[-1].parameters_digest
    steps = {row.step: row for row in of(run, events.Step)}
    for step in (10, 20, 30):
        leaves = canonical.read(run / found[step].leaves.path)["leaves"]
        norm = math.sqrt(sum(leaf["l2"] ** 2 for leaf in leaves if leaf["path"].startswith("parameters.")))
        assert norm == pytest.approx(steps[step].param_norm, rel=1e-5)


def test_first_batch_shows_the_answers_as_what_is_trained_on(smoke: Smoke) -> None:
    run, _ = smoke
    answers = {line["id"]: line for line in map(canonical.decode, (run / "data/train.jsonl").read_bytes().splitlines())}
    for line in map(canonical.decode, (run / rundir.FIRST_BATCH).read_bytes().splitlines()):
        row = answers[line["id"]]
        assert line["trained_on"] == row["answer"]
        assert line["text"] == f"{row['prompt']} {row['answer']}"


def test_source_event_names_the_files_that_ran(smoke: Smoke) -> None:
    paths = {item.path for item in of(smoke[0], events.Source)[0].files}
    assert {"training/train.py", "training/gemma.py", "evidence/events.py", "training/configs/smoke_tiny.yaml"} <= paths


def test_a_run_that_is_told_to_stop_saves_and_says_so(tmp_path: Path) -> None:
    run = new_run(tmp_path, spec_with(training__steps=1_000_000))
    with subprocess.Popen(
        [sys.executable, "-m", "training", str(run)],
        cwd=REPOSITORY,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("step 3/"):
                process.send_signal(signal.SIGTERM)
                break
        process.stdout.read()
    assert process.returncode == 75
    finished, last = of(run, events.Finished)[0], of(run, events.Checkpoint)[-1]
    assert (finished.outcome, finished.step) == ("stopped", last.step)
    assert last.step == of(run, events.Step)[-1].step >= 3


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(tmp_path: Path) -> None:
    spec = spec_with(
        optimizer__learning_rate=10.0,
        optimizer__warmup_steps=0,
        optimizer__gradient_clip=0.0,
        optimizer__name="adafactor",
        training__steps=400,
        training__compute_dtype="bfloat16",
        optimizer__schedule="constant",
        optimizer__weight_decay=0.99,
    )
    run = new_run(tmp_path, spec)
    ended = run_trainer(run)
    finished = of(run, events.Finished)[0]
    assert ended.returncode == 1
    assert (finished.outcome, finished.stage, finished.error_type) == ("failed", "training", "NonFiniteLoss")
    assert f"at step {len(of(run, events.Step)) + 1};" in finished.error_message
    assert "NonFiniteLoss" in ended.stderr
    assert 'File "training/train.py"' in ended.stderr
    assert str(REPOSITORY) not in ended.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"device": "tpu"}, "device tpu "),
        ({"data__train_path": "training/data/nowhere.jsonl"}, "training/data/nowhere.jsonl cannot be read"),
        (
            {"weights__source": "kaggle", "weights__handle": "google/nothing/transformers/2b/2"},
            "the Kaggle model google/nothing/transformers/2b/2 is not attached",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_sentence(tmp_path: Path, settings: dict[str, str], sentence: str) -> None:
    run = new_run(tmp_path, spec_with(**settings))
    ended = run_trainer(run)
    finished = of(run, events.Finished)[0]
    assert ended.returncode == 2
    assert finished.outcome == "failed"
    assert sentence in finished.error_message
    assert ended.stderr.strip().splitlines()[-1] == f"error: {finished.error_message}"
    assert not (run / "checkpoints").exists()


def test_a_run_says_how_its_memory_compares_with_what_was_foretold(tmp_path: Path) -> None:
    spec = spec_with(evaluation__max_new_tokens=4, training__steps=2, optimizer__warmup_steps=1)
    asked = job_folder.create(tmp_path / "preflights", preflight.Request("smoke_tiny.yaml", "v5e-8", spec.as_dict()))
    subprocess.run([sys.executable, "-m", "tests.preflight_job", str(asked)], cwd=REPOSITORY, check=True)
    run = new_run(tmp_path / "runs", spec)
    (run / rundir.PREFLIGHT).write_bytes((asked / preflight.REPORT).read_bytes())
    ended = run_trainer(run)
    assert ended.returncode == 0, ended.stderr
    # Foretold for a TPU, run on a CPU: there is nothing to compare, and it says so.
    sentence = "Not compared with the run's own memory: foretold for 8 × TPU v5 lite, run on 1 × cpu."
    assert f"preflight: {sentence}" in ended.stdout
