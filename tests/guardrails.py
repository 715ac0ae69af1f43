"""What docs/guardrails.md says, for the tests that hold it."""

from __future__ import annotations

from tests.runs import ROOT

PAGE = ROOT / "docs/guardrails.md"


def quoted(sentence: str) -> bool:
    """Whether the page tells ``sentence``, however its lines are broken."""
    assert sentence.strip()
    return " ".join(sentence.split()) in " ".join(PAGE.read_text(encoding="utf-8").replace("\n> ", "\n").split())
