"""What verification says: findings, results of checks, the verdict over a bundle."""

from __future__ import annotations

from dataclasses import dataclass

LEVELS = ("E0", "E1", "E2", "E3", "E4", "E5")
LEVEL_MEANING = {
    "": "not readable as a bundle",
    "E0": "readable",
    "E1": "sealed",
    "E2": "coherent",
    "E3": "bound",
    "E4": "replayed",
    "E5": "corroborated outside the trainer",
}
PASS, FAIL, WARN, NOT_RUN = "pass", "fail", "warn", "not-run"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: which file, where in it (field, line or ""), what was expected and what was found."""

    file: str
    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.where}" if self.where else self.file
        return f"{place}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Doubt(Finding):
    """A finding that is only a warning, also of a check whose other findings are failures."""


@dataclass(frozen=True)
class CheckResult:
    """``result`` is pass, fail, warn or not-run; ``reason`` says why for the last two, ``proves`` what a pass means.

    ``severity``: what a finding would make of it, fail or warn. ``cost``: what the check needs.
    """

    id: str
    family: str
    proves: str
    level: str
    result: str
    reason: str = ""
    findings: tuple[Finding, ...] = ()
    severity: str = FAIL
    cost: str = "stdlib"


@dataclass(frozen=True)
class Verdict:
    """``level`` is the highest level whose checks, and those of all below, neither fail nor are not-run; "" for none.

    ``valid``: no check failed. ``gaps``: a sentence for each reason that keeps the bundle from the next level.
    """

    level: str
    valid: bool
    results: tuple[CheckResult, ...]
    gaps: tuple[str, ...]

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        return tuple(result for result in self.results if result.result == FAIL)


@dataclass(frozen=True)
class Proof:
    """Where a claim's proof lies: a file of the bundle, and the checks that recompute it."""

    file: str
    checks: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """``verdict``: holds, fails, or unproven (with ``unproven_because``). ``recomputed`` says how it was checked."""

    id: str
    title: str
    said: str
    verdict: str
    proofs: tuple[Proof, ...]
    recomputed: str
    unproven_because: str = ""


@dataclass(frozen=True)
class Report:
    """A bundle as a reviewer wants it told. ``sentence`` comes first; ``limits`` says what could not be known."""

    name: str
    sentence: str
    claims: tuple[Claim, ...]
    limits: tuple[str, ...]
