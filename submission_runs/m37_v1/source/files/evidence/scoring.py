"""Predictions → score. One definition, used to report a score and to recompute it."""

from __future__ import annotations

import math
import re


def final_answer(text: str, delimiter: str) -> str:
    """The answer that counts: what follows the last ``delimiter`` on its line, without commas between thousands, a
    currency sign or a closing period. Without the delimiter in it, a text has no final answer ("")."""
    if delimiter:
        _, found, tail = text.rpartition(delimiter)
        if not found:
            return ""
        text = tail.strip().split("\n", 1)[0]
    answer = re.sub(r"(?<=\d),(?=\d{3})", "", text.strip())
    return answer.removeprefix("$").removesuffix(".").strip()


def is_correct(expected: str, text: str, delimiter: str) -> bool:
    """Whether the generated ``text`` ends in the ``expected`` row's final answer."""
    wanted = final_answer(expected, delimiter)
    return wanted != "" and final_answer(text, delimiter) == wanted


def normalized(prompt: str) -> str:
    """A prompt up to case and white space: two rows that agree in it ask the same."""
    return " ".join(prompt.split()).casefold()


def wilson_interval(correct: int, items: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """95 % confidence interval of a share (Wilson 1927), inside [0, 1]."""
    share, square = correct / items, z * z
    middle = (share + square / (2 * items)) / (1 + square / items)
    half = z * math.sqrt(share * (1 - share) / items + square / (4 * items * items)) / (1 + square / items)
    return max(0.0, middle - half), min(1.0, middle + half)
