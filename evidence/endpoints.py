"""Whose word counts as whose: the addresses of the platforms that evidence may name."""

from __future__ import annotations

from typing import Final

KAGGLE: Final = "https://api.kaggle.com"
"""Kaggle's own. What another endpoint says is never called Kaggle's."""
