"""The protocol's laws: one encoding of a value, one reading of a line, every limit said in a sentence."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import canonical, config_file, events, rundir, scoring, typed
from evidence.schedule import learning_rate
from evidence.spec import DEFAULTS, FIELDS, OptimizerSpec, SpecError, json_schema, parameter_count, parse, resolve
from evidence.spec import typed as typed_setting
from tests import runs

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4),
)  # fmt: skip


@given(VALUES)
def test_a_value_has_one_encoding_and_comes_back(value: Any) -> None:
    text = canonical.encode(value)
    assert canonical.decode(text) == value
    assert canonical.encode(canonical.decode(text)) == text
    assert canonical.decode(canonical.pretty(value)) == value


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":2}', "NaN", "[Infinity]", "9007199254740992", '"\\ud800"', "{", b"\xff", "[" * 100_000]
)
def test_what_parsers_disagree_about_is_refused(text: str | bytes) -> None:
    with pytest.raises(canonical.JsonError):
        canonical.decode(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, "\ud800", {"a": [math.nan]}, object()])
def test_what_strict_readers_refuse_is_not_written(value: Any) -> None:
    with pytest.raises(canonical.JsonError):
        canonical.encode(value)


@given(st.binary(max_size=200))
def test_a_line_is_an_event_or_an_event_error(line: bytes) -> None:
    try:
        event = events.decode(line)
    except events.EventError:
        return
    assert events.decode(events.encode(event)) == event


def test_every_kind_of_event_comes_back_as_it_was(ended_run: Path) -> None:
    lines, _ = rundir.whole_lines(ended_run / rundir.EVENTS, 0)
    decoded = [events.decode(line) for line in lines]
    assert [events.encode(event).encode() for event in decoded] == lines
    assert {event.kind for event in decoded} == set(events.KINDS) - {"warning", "resumed"}


_HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
_FINITE, _ANY = st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False)
_COUNTS = st.integers(0, canonical.LARGEST_INTEGER)
STEPS = st.builds(
    events.Step, time=st.just("2026-01-31T12:00:00.000000Z"), step=_COUNTS, epoch=_FINITE, loss=_ANY, grad_norm=_ANY,
    param_norm=_ANY, learning_rate=_FINITE, examples=_COUNTS, tokens=_COUNTS, supervised_tokens=_COUNTS,
    batch_sha256=_HEX, step_seconds=_FINITE, monotonic_ns=_COUNTS, prev=_HEX, hash=st.just(""),
    tokens_per_second=_FINITE, model_flops_utilization=_FINITE, device_memory_bytes=_COUNTS,
    device_memory_peak_bytes=_COUNTS,
)  # fmt: skip
"""Step rows; infinite ones too (a NaN is not equal to itself, so it has a test of its own)."""


@given(STEPS)
def test_a_row_that_is_put_together_by_hand_is_its_canonical_line(step: events.Step) -> None:
    found, line = events.chain(step)
    row = events.chained(step)
    assert (row.hash, events.encode(row)) == (found, line)
    assert events.link(canonical.decode(line)) == found
    assert events.decode(line) == row


@given(STEPS, st.sampled_from(events.NUMBERS))
def test_what_is_no_number_is_said_in_a_word(step: events.Step, name: str) -> None:
    _, line = events.chain(replace(step, **{name: math.nan}))
    assert f'"{name}":"NaN"' in line
    assert math.isnan(getattr(events.decode(line), name))
    assert events.encode(events.decode(line)) == line


def test_a_torn_last_line_is_left_for_the_next_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert rundir.whole_lines(path, 0) == ([], 0)
    path.write_bytes(b"one\ntw")
    assert rundir.whole_lines(path, 0) == ([b"one"], 4)
    path.write_bytes(b"one\ntwo\n")
    assert rundir.whole_lines(path, 4) == ([b"two"], 8)
    assert rundir.whole_lines(path, 0, limit_bytes=2) == ([b"one"], 4)


def test_run_folders_sort_as_they_were_asked_for(tmp_path: Path) -> None:
    made = [runs.new_run(tmp_path) for _ in range(20)]
    assert rundir.folders(tmp_path) == made
    assert all(rundir.RUN_ID.fullmatch(run.name) for run in made)


def test_what_was_asked_comes_back(tmp_path: Path) -> None:
    run = runs.new_run(tmp_path, {"training.steps": 7}, notes="é", tags=("a", "b"))
    ask = rundir.read_ask(run)
    assert (ask.spec.training.steps, ask.notes, ask.tags, ask.name) == (7, "é", ("a", "b"), "tiny")
    assert [(item.key, item.declared, item.effective) for item in ask.overrides] == [("training.steps", 30, 7)]
    assert ask.spec_sha256 == canonical.digest(json.loads((run / rundir.SPEC).read_text())["spec"])


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("training.steps", 0, "training.steps must be at least 1 and at most 10,000,000, got 0"),
        ("training.steps", "50", "training.steps must be an integer, got the text '50'"),
        ("training.steps", 5.0, "training.steps must be an integer, got 5.0"),
        ("training.steps", True, "training.steps must be an integer, got true"),
        ("training.steps", None, "training.steps must be an integer, got nothing"),
        (
            "optimizer.learning_rate",
            "1e-5",
            "optimizer.learning_rate must be a number, got the text '1e-5' (YAML reads that as text; write 1.0e-5)",
        ),
        ("optimizer.learning_rate", math.nan, "optimizer.learning_rate must be a number, got nan"),
        ("optimizer.name", "sgd", "optimizer.name must be one of adamw, adafactor, got the text 'sgd'"),
        ("optimizer.warmup_steps", 30, "optimizer.warmup_steps must be less than training.steps (30), got 30"),
        ("training.lr", 1, "training.lr: there is no such setting; did you mean training.seed?"),
        (
            "optimizer.learning_rte",
            1,
            "optimizer.learning_rte: there is no such setting; did you mean optimizer.learning_rate?",
        ),
        (
            "training.gradient_accumulation",
            3,
            "training.gradient_accumulation must divide training.batch_size (8), got 3",
        ),
        ("model.num_key_value_heads", 4, "model.num_key_value_heads must divide model.num_attention_heads (2), got 4"),
        ("model.head_dim", 7, "model.head_dim must be even, got 7"),
        (
            "training.sequence_length",
            9000,
            "training.sequence_length must be at most model.max_position_embeddings (8192), got 9000",
        ),
        (
            "data.template",
            "{prompt}",
            "data.template must hold {prompt} once and end with {answer}, got the text '{prompt}'",
        ),
        (
            "data.answer_field",
            "prompt",
            "data.answer_field must differ from data.prompt_field, got the text 'prompt' for both",
        ),
        ("weights.source", "hub", "weights.repository must be owner/name when weights.source is hub, got the text ''"),
        (
            "name",
            "../x",
            "name must be 1 to 80 letters, digits, '.', '_' or '-', starting with a letter or digit, got the text '../x'",
        ),
        ("name", "a\ud800", "name must be text, got a lone surrogate"),
    ],
)
def test_a_broken_limit_is_named_in_one_sentence(key: str, value: Any, sentence: str) -> None:
    with pytest.raises(SpecError) as refused:
        resolve(runs.CONFIG, {key: value})
    assert refused.value.problems[0].message == sentence


def test_a_model_of_a_billion_parameters_is_refused_a_gpu() -> None:
    gemma = {"model.vocab_size": 256_000, "model.hidden_size": 2048, "model.intermediate_size": 16_384,
             "model.num_hidden_layers": 18, "model.num_attention_heads": 8, "model.head_dim": 256}  # fmt: skip
    spec, _ = resolve(runs.CONFIG, gemma)
    assert parameter_count(spec.model) == 2_506_172_416
    with pytest.raises(SpecError, match=r"2,506,172,416 parameters, and models of 1,000,000,000 or more never train"):
        resolve(runs.CONFIG, {**gemma, "device": "gpu"})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner)
                    | st.dictionaries(st.sampled_from(["name", "model", "data", "training", "steps", "x"]), inner)))  # fmt: skip
def test_any_document_is_a_spec_or_a_spec_error(document: Any) -> None:
    with pytest.raises(SpecError) as refused:
        parse(document)
    assert all(problem.message for problem in refused.value.problems)


def test_the_schema_describes_every_setting() -> None:
    schema = json_schema()
    for key in FIELDS:
        node: Any = schema
        for part in key.split("."):
            node = node["properties"][part]
        assert node.get("default") == DEFAULTS.get(key)


def test_settings_of_a_command_line_are_typed() -> None:
    assert typed_setting("optimizer.learning_rate", "1e-5") == 1e-5
    assert typed_setting("plan.layers", "scanned") == "scanned"
    with pytest.raises(SpecError, match=r"training\.steps must be an integer, got 'many'"):
        typed_setting("training.steps", "many")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\na: 2\n", "the key 'a' stands twice"),
        ("[1]", "must hold a mapping"),
        ("a: [", "config.yaml"),
        ("1: x", "a key must be text"),
    ],
)
def test_a_config_that_cannot_be_read_says_where(text: str, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence.replace("[", r"\[")):
        config_file.loads(text, "config.yaml")


@pytest.mark.parametrize(
    "path", sorted((runs.ROOT / "training" / "configs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_a_shipped_config_is_valid_and_says_what_it_does(path: Path) -> None:
    spec = config_file.load_spec(path)
    assert spec.name == path.stem
    assert spec.description
    assert spec.expected_duration
    assert spec.expected_result


def test_a_broken_config_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        runs.config_text({**runs.CONFIG, "optimizer": {"learning_rate": 3}}).replace("rate: 3", "rate: 1e-5")
    )
    with pytest.raises(SpecError, match=r"mine\.yaml: optimizer\.learning_rate must be a number, got the text '1e-5'"):
        config_file.load_spec(path)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so\n#### 72", "72"),
        ("#### 1,234.", "1234"),
        ("#### $5", "5"),
        ("#### 1\n#### 2", "2"),
        ("72", ""),
        ("####", ""),
    ],
)
def test_the_final_answer_is_what_follows_the_delimiter(text: str, answer: str) -> None:
    assert scoring.final_answer(text, "####") == answer


def test_an_empty_answer_is_never_correct() -> None:
    assert not scoring.is_correct("####", "####", "####")
    assert scoring.is_correct("#### 1,000", "it is #### 1000.", "####")


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_interval_holds_the_share(correct: int, items: int) -> None:
    correct = min(correct, items)
    low, high = scoring.wilson_interval(correct, items)
    assert (
        0 <= low <= correct / items <= high <= 1
        or math.isclose(low, correct / items, abs_tol=1e-12)
        or math.isclose(high, 1)
    )


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_learning_rate_warms_up_and_decays(schedule: str) -> None:
    optimizer = OptimizerSpec(learning_rate=1.0, schedule=schedule, warmup_steps=4, final_learning_rate_ratio=0.1)
    rates = [learning_rate(optimizer, 20, step) for step in range(1, 21)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(1.0 if schedule == "constant" else 0.1)


def test_the_published_schema_of_a_manifest_allows_no_null() -> None:
    from evidence.manifest import EvalSummary, RunManifest

    for cls in (RunManifest, EvalSummary):
        text = json.dumps(typed.json_schema(cls))
        assert '"null"' not in text
        assert text.count('"additionalProperties": false') > 5
