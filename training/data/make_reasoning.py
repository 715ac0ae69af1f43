"""Makes the shipped dataset: two-digit sums with their carry written out. Seeded, standard library only.

    python training/data/make_reasoning.py [FOLDER]     writes reasoning_train.jsonl and reasoning_eval.jsonl

Every pair of numbers from 10 to 99 stands in one of the two files, and in one alone.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

SEED = 20
EVAL_ROWS = 300


def row(first: int, second: int) -> dict[str, str]:
    """``47+85`` is solved units first, so that each written digit needs only what is already written."""
    units = first % 10 + second % 10
    tens = first // 10 + second // 10
    carry = units // 10
    steps = f"{first % 10}+{second % 10}={units:02d}. {first // 10}+{second // 10}+{carry}={tens + carry:02d}."
    return {"prompt": f"{first}+{second}=?", "answer": f"{steps} #### {first + second}"}


def lines() -> tuple[str, str]:
    """Training and held-out rows as JSON Lines."""
    pairs = [(first, second) for first in range(10, 100) for second in range(10, 100)]
    random.Random(SEED).shuffle(pairs)
    texts = [json.dumps(row(*pair), separators=(",", ":")) + "\n" for pair in pairs]
    return "".join(texts[:-EVAL_ROWS]), "".join(texts[-EVAL_ROWS:])


def main(folder: Path) -> None:
    for name, text in zip(("reasoning_train.jsonl", "reasoning_eval.jsonl"), lines(), strict=True):
        (folder / name).write_text(text, encoding="utf-8", newline="")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
