"""Held-out rows: teacher-forced loss, and the exact match of greedy answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evidence import canonical, events, rundir, scoring
from evidence.spec import RunSpec
from training import batches, generate, loss, rows
from training.errors import DataError
from training.reporter import Reporter
from training.rows import Row
from training.step import Trainer
from training.tokenizer import Tokenizer

WIDTH_STEP = 16
"""Prompts are padded to a multiple of this, so that nearly equal data compile to one program."""


@dataclass(frozen=True)
class HeldOut:
    """What an evaluation needs, ready as arrays. ``prompts`` (rows, width) are padded on the left."""

    rows: tuple[Row, ...]
    tokens: Any
    mask: Any
    prompts: Any
    lengths: Any
    cut_prompts: int


def prepare(spec: RunSpec, held_out: tuple[Row, ...], tokenizer: Tokenizer) -> HeldOut:
    """Encode the held-out rows. Raises DataError when nothing of them can be evaluated."""
    encoded = batches.encode(held_out, spec.data, tokenizer, spec.training.sequence_length, keep_all=True)
    if not encoded.mask[:, 1:].any():
        raise DataError(
            f"no held-out row has an answer within training.sequence_length {spec.training.sequence_length}; raise it"
        )
    room = spec.model.max_position_embeddings - spec.evaluation.max_new_tokens
    if room < 1:
        raise DataError(
            f"evaluation.max_new_tokens {spec.evaluation.max_new_tokens} leaves no room for a prompt within "
            f"model.max_position_embeddings {spec.model.max_position_embeddings}"
        )
    prompts = [
        [tokenizer.bos, *tokenizer.encode(batches.prompt_text(row.prompt, spec.data.template))] for row in held_out
    ]
    longest = max(map(len, prompts))
    width = min(room, longest + -longest % WIDTH_STEP)
    tokens, lengths = generate.left_padded(prompts, width, tokenizer.pad)
    return HeldOut(held_out, encoded.tokens, encoded.mask, tokens, lengths, sum(len(item) > width for item in prompts))


class Evaluator:
    """Two compiled programs over the held-out rows, used again at every evaluation."""

    def __init__(self, trainer: Trainer, held_out: HeldOut, tokenizer: Tokenizer) -> None:
        self._held_out, self._tokenizer, self._placement = held_out, tokenizer, trainer.placement
        self._spec = trainer.spec
        devices = trainer.placement.devices
        rows_at_once = min(trainer.spec.evaluation.batch_size, len(held_out.rows))
        self._batch = rows_at_once + -rows_at_once % devices
        whole = trainer.placement.in_use(())  # so that every process can read what comes out
        self._loss = jax.jit(
            lambda params, tokens, mask: loss.loss_sum(trainer.model(params), tokens, mask), out_shardings=whole
        )
        self._greedy = jax.jit(
            lambda params, prompts, lengths: generate.greedy(
                trainer.model(params),
                prompts,
                lengths,
                trainer.spec.evaluation.max_new_tokens,
                tokenizer.eos,
                tokenizer.pad,
            ),
            out_shardings=whole,
        )

    def mean_loss(self, params: Any) -> float:
        """Mean negative log-likelihood (nats) of the supervised held-out tokens."""
        total = sum(
            float(self._loss(params, *part)) for part in self._parts(self._held_out.tokens, self._held_out.mask)
        )
        return total / float(self._held_out.mask[:, 1:].sum())

    def answers(self, params: Any) -> list[list[int]]:
        """The generated ids of every held-out row, up to and with eos."""
        parts = self._parts(self._held_out.prompts, self._held_out.lengths)
        ids = np.concatenate([np.asarray(self._greedy(params, *part)) for part in parts])
        return [generate.until(line, self._tokenizer.eos) for line in ids[: len(self._held_out.rows)].tolist()]

    def run(self, run: Path, params: Any, step: int, parameters_digest: str, reporter: Reporter) -> events.Evaluation:
        """Evaluate ``params`` after ``step``: the predictions file, its event, and the samples to show."""
        started = time.monotonic()
        mean_loss, answers = self.mean_loss(params), self.answers(params)
        pairs = list(zip(self._held_out.rows, answers, strict=True))
        documents = list(map(partial(self._prediction), pairs))
        correct = sum(document["correct"] for document in documents)
        text = "".join(canonical.encode(document) + "\n" for document in documents)
        evaluation = events.Evaluation(
            time=events.now(),
            step=step,
            loss=mean_loss,
            items=len(documents),
            correct=correct,
            exact_match=correct / len(documents),
            parameters_digest=parameters_digest,
            predictions=rows.write_text(run, f"{rundir.EVAL}/predictions-{step:06d}.jsonl", text),
            seconds=time.monotonic() - started,
        )
        reporter.emit(evaluation)
        reporter.say(
            f"evaluated after step {step}: {correct} of {len(documents)} answers match "
            f"({evaluation.exact_match:.1%}), loss {mean_loss:.4f}, in {evaluation.seconds:.1f} s"
        )
        for (row, ids), document in list(zip(pairs, documents, strict=True))[: self._spec.evaluation.samples]:
            reporter.emit(
                events.Sample(
                    time=events.now(),
                    step=step,
                    prompt=row.prompt,
                    expected=row.answer,
                    text=document["text"],
                    token_ids=ids,
                    parameters_digest=parameters_digest,
                )
            )
        return evaluation

    def _prediction(self, pair: tuple[Row, list[int]]) -> dict[str, Any]:
        row, ids = pair
        text = self._tokenizer.decode(ids)
        return {
            "id": row.id,
            "prompt": row.prompt,
            "expected": row.answer,
            "text": text,
            "token_ids": ids,
            "correct": scoring.is_correct(row.answer, text, self._spec.data.answer_delimiter),
        }

    def _parts(self, *arrays: Any) -> Iterator[tuple[Any, ...]]:
        """The arrays in batches of one size on the devices; the last one is filled up by its own last row, unmasked."""
        count = len(self._held_out.rows)
        for start in range(0, count, self._batch):
            parts = []
            for array in arrays:
                part = array[start : start + self._batch]
                spare = self._batch - len(part)
                filler = np.zeros_like(part[:1]) if array is self._held_out.mask else part[-1:]
                parts.append(self._placement.put_batch(np.concatenate([part, *[filler] * spare]) if spare else part))
            yield tuple(parts)
