"""Rows → token ids with a loss mask → the batch of a step, a pure function of (seed, step) in numpy alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from evidence import canonical
from evidence.spec import DataSpec
from training.rows import Row
from training.tokenizer import Tokenizer

Ids: TypeAlias = np.ndarray[Any, np.dtype[np.int32]]
Mask: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Encoded:
    """``tokens`` (rows, sequence_length) int32, padded at the end; ``mask`` uint8 is 1 on tokens that are trained on.

    ``truncated`` counts rows longer than the sequence; ``dropped`` those with nothing left to train on, which are
    not among ``rows``.
    """

    rows: tuple[Row, ...]
    tokens: Ids
    mask: Mask
    truncated: int
    dropped: int


@dataclass(frozen=True)
class Batch:
    tokens: Ids
    mask: Mask
    rows: tuple[int, ...]

    @property
    def arrays(self) -> dict[str, Any]:
        """What the step is given, by name."""
        return {"tokens": self.tokens, "mask": self.mask}

    @property
    def supervised_tokens(self) -> int:
        return int(self.mask[:, 1:].sum())

    @property
    def sha256(self) -> str:
        """Digest of the ids as little-endian int32, then of the mask's bytes."""
        return hashlib.sha256(self.tokens.astype("<i4").tobytes() + self.mask.tobytes()).hexdigest()


def prompt_text(prompt: str, template: str) -> str:
    """What stands before the answer."""
    return template.removesuffix("{answer}").replace("{prompt}", prompt)


def encode(
    rows: tuple[Row, ...], data: DataSpec, tokenizer: Tokenizer, length: int, *, keep_all: bool = False
) -> Encoded:
    """bos, prompt, answer, eos, cut at ``length``. ``keep_all`` keeps rows that have no supervised token left."""
    kept, tokens, masks = [], [], []
    truncated = dropped = 0
    for row in rows:
        prompt = [tokenizer.bos, *tokenizer.encode(prompt_text(row.prompt, data.template))]
        ids = [*prompt, *tokenizer.encode(row.answer), tokenizer.eos]
        first = len(prompt) if data.loss_on == "answer" else 1
        truncated += len(ids) > length
        if first >= length and not keep_all:
            dropped += 1
            continue
        used = min(len(ids), length)
        line = np.full(length, tokenizer.pad, np.int32)
        line[:used] = ids[:used]
        trained = np.zeros(length, np.uint8)
        trained[first:used] = 1
        kept.append(row)
        tokens.append(line)
        masks.append(trained)
    shape = (len(kept), length)
    stacked, mask = np.array(tokens, np.int32).reshape(shape), np.array(masks, np.uint8).reshape(shape)
    return Encoded(tuple(kept), stacked, mask, truncated, dropped)


def batch(encoded: Encoded, seed: int, size: int, step: int) -> Batch:
    """The rows of optimizer step ``step`` (from 1): one permutation of all rows after another, cut into ``size``."""
    count = len(encoded.rows)
    positions = range((step - 1) * size, step * size)
    rows = tuple(int(permutation(seed, position // count, count)[position % count]) for position in positions)
    index = list(rows)
    return Batch(encoded.tokens[index], encoded.mask[index], rows)


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, count: int) -> Any:
    """Order of the rows in ``epoch`` (from 0): they are sorted by the raw 64-bit output of Philox under key
    (seed, epoch), which every numpy defines alike."""
    key = np.array([seed, epoch], np.uint64)
    return np.argsort(np.random.Philox(key=key).random_raw(count), kind="stable")


def first_batch_lines(encoded: Encoded, first: Batch, tokenizer: Tokenizer) -> str:
    """The batch for human eyes: one line a row, its text and the part of it that is trained on."""
    lines = []
    for number, index in enumerate(first.rows):
        ids, trained = first.tokens[number].tolist(), first.mask[number].astype(bool).tolist()
        document = {
            "id": encoded.rows[index].id,
            "text": tokenizer.decode(ids),
            "trained_on": tokenizer.decode(value for value, on in zip(ids, trained, strict=True) if on),
            "pieces": _pieces(ids, trained, tokenizer),
        }
        lines.append(canonical.encode(document) + "\n")
    return "".join(lines)


def _pieces(ids: list[int], trained: list[bool], tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Runs of tokens with one mask value, padding left out."""
    pieces: list[dict[str, Any]] = []
    for value, on in zip(ids, trained, strict=True):
        if value == tokenizer.pad and not on:
            continue
        if not pieces or pieces[-1]["trained_on"] != on:
            pieces.append({"trained_on": on, "token_ids": []})
        pieces[-1]["token_ids"].append(value)
    return [{**piece, "text": tokenizer.decode(piece["token_ids"])} for piece in pieces]
