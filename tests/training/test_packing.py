"""Several rows in one sequence: every token is there once, none sees another row, and nothing of the result changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import bundle, canonical, events, rundir, verify
from training import batches, loss, packing, tokenizer, weights
from training.rows import Row

from .conftest import REPOSITORY, events_of, recorded_run, spec_with
from .test_gemma import trainer_of

LENGTH = 40
ROWS = (
    *(Row(f"r:{n}", f"{n}+{n}=?", f"#### {2 * n}") for n in range(1, 24)),
    Row("long", "9" * 30, "#### 1234567890123"),  # longer than a sequence: it is cut, and fills one alone
    Row("half", "7" * 12, "#### 7"),
)


def encoded(loss_on: str = "answer") -> batches.Encoded:
    data = spec_with(data__loss_on=loss_on).data
    return batches.encode(ROWS, data, tokenizer.Bytes(), LENGTH)


@pytest.fixture(scope="module")
def packed() -> batches.Encoded:
    return batches.pack(encoded(), tokenizer.Bytes().pad)


@given(st.lists(st.integers(1, 16), max_size=60))
def test_each_row_lies_in_the_first_sequence_that_had_room(lengths: list[int]) -> None:
    sequences: list[list[int]] = []
    for index, length in enumerate(lengths):
        fits = (item for item in sequences if sum(lengths[other] for other in item) + length <= 16)
        place = next(fits, None)
        if place is None:
            sequences.append(place := [])
        place.append(index)
    assert packing.first_fit(lengths, 16) == sequences


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 9))
def test_every_token_of_every_row_comes_once_an_epoch(seed: int, size: int) -> None:
    plain = encoded()
    whole = batches.pack(plain, 0)
    count = len(whole.tokens)
    assert count <= len(plain.tokens) * 0.6
    found: Counter[tuple[Any, ...]] = Counter()
    for step in range(1, count + 1):  # size epochs
        batch = batches.batch(whole, seed, size, step)
        for number, sequence in enumerate(batch.sequences):
            assert sum(map(bool, batch.arrays["segments"][number])) <= LENGTH
            for segment, row in enumerate(whole.members[sequence], 1):
                where = batch.arrays["segments"][number] == segment
                found[row, tuple(batch.tokens[number][where]), tuple(batch.mask[number][where])] += 1
    used = plain.segments.astype(bool)
    wanted = {(row, tuple(plain.tokens[row][used[row]]), tuple(plain.mask[row][used[row]])) for row in range(len(ROWS))}
    assert found == dict.fromkeys(wanted, size)


def test_a_packed_batch_depends_on_seed_and_step_alone(packed: batches.Encoded) -> None:
    late = batches.batch(packed, 5, 4, 17)
    batches.permutation.cache_clear()
    assert late.sha256 == batches.batch(batches.pack(encoded(), 0), 5, 4, 17).sha256
    assert late.sha256 != batches.batch(packed, 5, 4, 18).sha256 != batches.batch(packed, 6, 4, 18).sha256


def test_the_segments_are_in_a_batch_s_digest(packed: batches.Encoded) -> None:
    batch = batches.batch(packed, 0, 4, 1)
    merged = {**batch.arrays, "segments": np.minimum(batch.arrays["segments"], 1)}
    assert batch.sha256 != replace(batch, arrays=merged).sha256
    assert "segments" not in batches.batch(encoded(), 0, 4, 1).arrays


@pytest.mark.parametrize("loss_on", ["answer", "all"])
def test_no_target_is_predicted_from_another_row(loss_on: str) -> None:
    whole = batches.pack(encoded(loss_on), 0)
    starts = np.diff(whole.segments, axis=1, prepend=0) != 0
    assert starts.sum() > len(whole.tokens)
    assert not whole.mask[starts].any()
    assert not whole.mask[whole.segments == 0].any()
    assert whole.mask.sum() == encoded(loss_on).mask.sum()


PLANS: list[dict[str, Any]] = [{}, {"plan__remat": "layer", "plan__loss_chunk_tokens": 24}]


@pytest.mark.parametrize("plan", PLANS, ids=["plain", "chunked and recomputed"])
def test_loss_and_gradients_are_those_of_the_rows_alone(packed: batches.Encoded, plan: dict[str, Any]) -> None:
    trainer = trainer_of(spec_with(data__packing=True, **plan))
    params = weights.random(trainer)
    answers = []
    for data in (encoded(), packed):
        arrays = batches.batch(data, 3, len(data.tokens), 1).arrays  # a whole epoch
        count = float(arrays["mask"][:, 1:].sum())

        @jax.jit
        @jax.value_and_grad
        def mean_loss(params: Any, arrays: dict[str, Any] = arrays, count: float = count) -> jax.Array:
            model = trainer.model(params)
            return loss.loss_sum(model, **{name: jnp.asarray(array) for name, array in arrays.items()}) / count

        answers.append(mean_loss(params))
    (alone, gradient_alone), (together, gradient_together) = answers
    assert float(together) == pytest.approx(float(alone), abs=1e-5)
    for ours, theirs in zip(jax.tree.leaves(gradient_together), jax.tree.leaves(gradient_alone), strict=True):
        assert float(jnp.max(jnp.abs(theirs))) > 1e-4
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def test_no_row_sees_another(tiny: Any, packed: batches.Encoded) -> None:
    trainer = tiny[0]
    model = trainer.model(weights.random(trainer))
    sequence = max(range(len(packed.members)), key=lambda number: len(packed.members[number]))
    tokens, segments = packed.tokens[[sequence]], packed.segments[[sequence]]
    hidden = jax.jit(lambda tokens: model(tokens, jnp.asarray(segments)))
    before = hidden(jnp.asarray(tokens))
    for number in range(1, len(packed.members[sequence]) + 1):
        changed = np.where(segments == number, tokens + 1, tokens)
        after = hidden(jnp.asarray(changed))
        same = np.all(np.asarray(after) == np.asarray(before), axis=-1)
        assert (same == (segments != number)).all()
        row = tokens[segments == number][None]
        np.testing.assert_allclose(before[segments == number][None], model(jnp.asarray(row)), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded run of packed rows with micro-batches, over more than an epoch."""
    lines = (REPOSITORY / "training/data/reasoning_train.jsonl").read_text().splitlines(keepends=True)
    data = tmp_path_factory.mktemp("data") / "sums.jsonl"
    data.write_text("".join(lines[:68]))
    overrides = {"data.packing": True, "data.train_path": str(data), "data.eval_rows": 8,
                 "evaluation.max_new_tokens": 2, "evaluation.samples": 1, "training.gradient_accumulation": 2,
                 "training.sequence_length": 128}  # fmt: skip
    return recorded_run(tmp_path_factory.mktemp("runs"), overrides)


def of(folder: Path, kind: type[events.Event]) -> list[Any]:
    return [event for event in events_of(folder) if isinstance(event, kind)]


def test_the_first_batch_of_a_packed_run_has_a_line_for_each_row(run: Path) -> None:
    answers = {line["id"]: line for line in map(canonical.decode, (run / "data/train.jsonl").read_bytes().splitlines())}
    lines = [canonical.decode(line) for line in (run / rundir.FIRST_BATCH).read_bytes().splitlines()]
    assert {line["sequence"] for line in lines} == set(range(1, 9))
    assert len(lines) >= 2 * 8
    for line in lines:
        row = answers[line["id"]]
        assert (line["text"], line["trained_on"]) == (f"{row['prompt']} {row['answer']}", row["answer"])


def test_epochs_of_a_packed_run_count_sequences(run: Path) -> None:
    data, steps = of(run, events.Data)[0], of(run, events.Step)
    assert data.train_rows == 60
    assert data.train_rows / 5 < data.train_sequences < data.train_rows / 2
    assert [row.epoch for row in steps] == [row.step * 8 / data.train_sequences for row in steps]
    assert steps[-1].tokens == 6 * 8 * 128
    spec, kept = rundir.read_ask(run).spec, (run / "data/train.jsonl").read_bytes().splitlines()
    rows = tuple(Row(**canonical.decode(line)) for line in kept)
    again = batches.pack(batches.encode(rows, spec.data, tokenizer.Bytes(), 128), 0)
    for row in steps:
        assert row.batch_sha256 == batches.batch(again, spec.training.seed, 8, row.step).sha256


def test_a_packed_run_seals_into_a_bundle_that_verifies(run: Path, tmp_path: Path) -> None:
    sealed = bundle.seal(run, tmp_path, "packed")
    verdict = verify.verify(sealed)
    assert verdict.failures == ()
    results = {check.id: check.result for check in verdict.results}
    assert [results[name] for name in ("MET-07", "PRV-03", "PRV-07", "PRV-12")] == ["pass"] * 4
    assert "packed into" in (sealed / "README.md").read_text()
    document = canonical.read(sealed / "run_manifest.json")
    assert document["data"]["packing"] is True
