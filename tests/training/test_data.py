"""Rows, tokens, batches."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.spec import DataSpec
from training import batches, rows, tokenizer
from training.errors import DataError, TokenizerError
from training.rows import Row, Rows

from .conftest import REPOSITORY, spec_with

DATA = REPOSITORY / "training/data"
ROWS = tuple(Row(f"r:{n}", f"{n}+{n}=?", f"#### {2 * n}") for n in range(1, 24))


def data(**settings: object) -> DataSpec:
    return DataSpec(**{"train_path": "rows.jsonl", **settings})  # type: ignore[arg-type]


def encoded(length: int = 24, loss_on: str = "answer") -> batches.Encoded:
    return batches.encode(ROWS, data(loss_on=loss_on), tokenizer.Bytes(), length)


def test_the_shipped_data_is_what_its_script_makes() -> None:
    train, held_out = runpy.run_path(str(DATA / "make_reasoning.py"))["lines"]()
    assert (DATA / "reasoning_train.jsonl").read_bytes() == train.encode()
    assert (DATA / "reasoning_eval.jsonl").read_bytes() == held_out.encode()
    assert not set(train.splitlines()) & set(held_out.splitlines())


def test_the_shipped_answers_are_right() -> None:
    spec = data(train_path=str(DATA / "reasoning_train.jsonl"), eval_path=str(DATA / "reasoning_eval.jsonl"))
    found = rows.read(spec)
    for row in found.train + found.held_out:
        first, _, second = row.prompt.removesuffix("=?").partition("+")
        assert row.answer.endswith(f"#### {int(first) + int(second)}")
    assert rows.overlap(found) == 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"prompt": "a"}', r"rows\.jsonl, line 2: field 'answer' must hold text, found no such field"),
        ('{"prompt": "a", "answer": 7}', r"line 2: field 'answer' must hold text, found '7'"),
        ('{"prompt": " ", "answer": "b"}', r"line 2: field 'prompt' must hold text"),
        ('["a"]', r"line 2: expected an object with fields, found list"),
        ('{"prompt": "a", "prompt": "b", "answer": "c"}', r"line 2: not JSON that can be read: .*stands twice"),
        ("{broken", r"line 2: not JSON that can be read"),
    ],
)
def test_a_broken_row_is_named_by_file_line_and_field(tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "1", "answer": "2"}\n' + line + "\n")
    with pytest.raises(DataError, match=sentence):
        rows.read(data(train_path=str(path), eval_rows=1))


def test_without_an_eval_file_the_last_rows_are_held_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"prompt": "{n}", "answer": "{n}"}}\n' for n in range(5)))
    found = rows.read(data(train_path=str(path), eval_rows=2))
    assert [row.prompt for row in found.train] == ["0", "1", "2"]
    assert [row.id for row in found.held_out] == ["rows:4", "rows:5"]
    with pytest.raises(DataError, match=r"data\.eval_rows 5 leaves nothing to train on: .* has 5 rows"):
        rows.read(data(train_path=str(path), eval_rows=5))


def test_overlap_looks_past_case_and_white_space() -> None:
    found = Rows((Row("a", "What  is\n1?", "1"),), (Row("b", "what is 1?", "1"), Row("c", "what is 2?", "2")))
    assert rows.overlap(found) == 1


def test_only_the_answer_and_its_end_are_trained_on() -> None:
    all_rows, ids = encoded(), tokenizer.Bytes()
    trained = all_rows.tokens[0][all_rows.mask[0] == 1].tolist()
    assert trained == [*ids.encode("#### 2"), ids.eos]
    everything = encoded(loss_on="all")
    assert everything.mask[0].sum() == len("1+1=?\n#### 2") + 1  # bos is given, not predicted


def test_long_rows_are_cut_and_rows_without_an_answer_left_are_dropped() -> None:
    long = (*ROWS[:2], Row("long", "x" * 30, "1"))
    found = batches.encode(long, data(), tokenizer.Bytes(), 12)
    assert (found.truncated, found.dropped) == (3, 1)
    assert [row.id for row in found.rows] == ["r:1", "r:2"]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 40))
def test_each_epoch_visits_every_row_once(seed: int, size: int) -> None:
    all_rows, count = encoded(), len(ROWS)
    seen = [row for step in range(1, 2 * count + 1) for row in batches.batch(all_rows, seed, size, step).sequences]
    for epoch in range(size):
        assert sorted(seen[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    all_rows = encoded()
    late = batches.batch(all_rows, 5, 4, 17)
    batches.permutation.cache_clear()
    again = batches.batch(encoded(), 5, 4, 17)
    assert late.sha256 == again.sha256
    assert late.sha256 != batches.batch(all_rows, 5, 4, 18).sha256 != batches.batch(all_rows, 6, 4, 18).sha256
    assert batches.permutation(0, 0, 8).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]


def test_the_mask_is_in_a_batch_s_digest() -> None:
    batch = batches.batch(encoded(), 0, 4, 1)
    assert batch.sha256 != replace(batch, arrays={**batch.arrays, "mask": np.ones_like(batch.mask)}).sha256


@given(st.text())
def test_bytes_decode_what_they_encoded(text: str) -> None:
    ids = tokenizer.Bytes()
    assert ids.decode([ids.bos, *ids.encode(text), ids.eos, ids.pad]) == text


def test_a_trained_tokenizer_is_deterministic_and_survives_its_file(tmp_path: Path) -> None:
    texts = [f"{row.prompt} {row.answer}" for row in ROWS]
    first, second = tokenizer.train(texts, 300), tokenizer.train(texts, 300)
    assert first.sha256 == second.sha256
    assert first.decode(first.encode("12+7=? é")) == "12+7=? é"
    tokenizer.save(first, tmp_path / "tokenizer")
    again = tokenizer.read(tmp_path / "tokenizer")
    assert again.text == first.text
    assert again.encode("#### 12") == first.encode("#### 12")
    assert (again.pad, again.bos, again.eos) == (0, 1, 2)


def test_a_tokenizer_too_large_for_the_model_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"vocab_size must be at least the tokenizer's 259 entries, got 200"):
        tokenizer.load(spec_with(model__vocab_size=200), [], None)


def test_a_missing_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.json cannot be read: No such file"):
        tokenizer.read(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json is not a tokenizer"):
        tokenizer.read(tmp_path)
