"""Rows → token ids with a loss mask → the batch of a step, a pure function of (seed, step) in numpy alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from evidence import canonical
from evidence.spec import DataSpec
from training import packing
from training.rows import Row
from training.tokenizer import Tokenizer

Ids: TypeAlias = np.ndarray[Any, np.dtype[np.int32]]
Mask: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Encoded:
    """Sequences of ``tokens`` (sequences, sequence_length) int32, padded at the end; ``mask`` uint8 is 1 on tokens that
    are trained on; ``segments`` int32 tells the rows of a sequence apart: 1 on its first row, 2 on the next, 0 on
    padding.

    ``members`` are the rows of each sequence in that order; without packing, sequence n is row n. ``truncated`` counts
    rows longer than the sequence; ``dropped`` those with nothing left to train on, which are not among ``rows``.
    """

    rows: tuple[Row, ...]
    tokens: Ids
    mask: Mask
    segments: Ids
    members: tuple[tuple[int, ...], ...]
    packed: bool
    truncated: int
    dropped: int


@dataclass(frozen=True)
class Batch:
    """``arrays`` are what the step is given, by name: tokens, mask and, when rows are packed, segments.

    ``sequences`` are the places in the data that they come from.
    """

    arrays: dict[str, Any]
    sequences: tuple[int, ...]

    @property
    def tokens(self) -> Ids:
        return self.arrays["tokens"]

    @property
    def mask(self) -> Mask:
        return self.arrays["mask"]

    @property
    def supervised_tokens(self) -> int:
        return int(self.mask[:, 1:].sum())

    @property
    def sha256(self) -> str:
        """Digest of the ids as little-endian int32, then of the mask's bytes, then of the segments as int32."""
        segments = self.arrays["segments"].astype("<i4").tobytes() if "segments" in self.arrays else b""
        return hashlib.sha256(self.tokens.astype("<i4").tobytes() + self.mask.tobytes() + segments).hexdigest()


def prompt_text(prompt: str, template: str) -> str:
    """What stands before the answer."""
    return template.removesuffix("{answer}").replace("{prompt}", prompt)


def encode(
    rows: tuple[Row, ...], data: DataSpec, tokenizer: Tokenizer, length: int, *, keep_all: bool = False
) -> Encoded:
    """bos, prompt, answer, eos, cut at ``length``. ``keep_all`` keeps rows that have no supervised token left."""
    kept, tokens, masks = [], [], []
    used = []
    truncated = dropped = 0
    for row in rows:
        prompt = [tokenizer.bos, *tokenizer.encode(prompt_text(row.prompt, data.template))]
        ids = [*prompt, *tokenizer.encode(row.answer), tokenizer.eos]
        first = len(prompt) if data.loss_on == "answer" else 1
        truncated += len(ids) > length
        if first >= length and not keep_all:
            dropped += 1
            continue
        used.append(min(len(ids), length))
        line = np.full(length, tokenizer.pad, np.int32)
        line[: used[-1]] = ids[: used[-1]]
        trained = np.zeros(length, np.uint8)
        trained[first : used[-1]] = 1
        kept.append(row)
        tokens.append(line)
        masks.append(trained)
    shape = (len(kept), length)
    stacked, mask = np.array(tokens, np.int32).reshape(shape), np.array(masks, np.uint8).reshape(shape)
    segments = (np.arange(length) < np.array(used, np.int32).reshape(-1, 1)).astype(np.int32)
    members = tuple((number,) for number in range(len(kept)))
    return Encoded(tuple(kept), stacked, mask, segments, members, False, truncated, dropped)


def pack(encoded: Encoded, pad: int) -> Encoded:
    """The rows of ``encoded`` laid one behind another into as few sequences as first-fit needs."""
    length = encoded.tokens.shape[1]
    lengths = encoded.segments.sum(axis=1).tolist()
    members = packing.first_fit(lengths, length)
    shape = (len(members), length)
    tokens, mask, segments = np.full(shape, pad, np.int32), np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    for sequence, indices in enumerate(members):
        start = 0
        for number, row in enumerate(indices, 1):
            end = start + lengths[row]
            tokens[sequence, start:end] = encoded.tokens[row, : lengths[row]]
            mask[sequence, start:end] = encoded.mask[row, : lengths[row]]
            segments[sequence, start:end] = number
            start = end
    whole = tuple(map(tuple, members))
    return replace(encoded, tokens=tokens, mask=mask, segments=segments, members=whole, packed=True)


def batch(encoded: Encoded, seed: int, size: int, step: int) -> Batch:
    """The sequences of optimizer step ``step`` (from 1): one permutation of all after another, cut into ``size``."""
    count = len(encoded.tokens)
    positions = range((step - 1) * size, step * size)
    index = [int(permutation(seed, position // count, count)[position % count]) for position in positions]
    arrays = {"tokens": encoded.tokens[index], "mask": encoded.mask[index]}
    if encoded.packed:
        arrays["segments"] = encoded.segments[index]
    return Batch(arrays, tuple(index))


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, count: int) -> Any:
    """Order of the sequences in ``epoch`` (from 0): they are sorted by the raw 64-bit output of Philox under key
    (seed, epoch), which every numpy defines alike."""
    key = np.array([seed, epoch], np.uint64)
    return np.argsort(np.random.Philox(key=key).random_raw(count), kind="stable")


def first_batch_lines(encoded: Encoded, first: Batch, tokenizer: Tokenizer) -> str:
    """The batch for human eyes: one line a row, its text and the part of it that is trained on.

    ``sequence`` counts the batch's sequences from 1; packed rows share one.
    """
    lines = []
    for number, sequence in enumerate(first.sequences):
        for segment, index in enumerate(encoded.members[sequence], 1):
            where = encoded.segments[sequence] == segment
            ids = first.tokens[number][where].tolist()
            trained = first.mask[number][where].astype(bool).tolist()
            document = {
                "sequence": number + 1,
                "id": encoded.rows[index].id,
                "text": tokenizer.decode(ids),
                "trained_on": tokenizer.decode(value for value, on in zip(ids, trained, strict=True) if on),
                "pieces": _pieces(ids, trained, tokenizer),
            }
            lines.append(canonical.encode(document) + "\n")
    return "".join(lines)


def _pieces(ids: list[int], trained: list[bool], tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Runs of tokens with one mask value."""
    pieces: list[dict[str, Any]] = []
    for value, on in zip(ids, trained, strict=True):
        if not pieces or pieces[-1]["trained_on"] != on:
            pieces.append({"trained_on": on, "token_ids": []})
        pieces[-1]["token_ids"].append(value)
    return [{**piece, "text": tokenizer.decode(piece["token_ids"])} for piece in pieces]
