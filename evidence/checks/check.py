"""What a check is: a small function over a bundle that yields findings.

It raises ``NotRun`` with the reason when it cannot answer (``Unreadable`` counts as that, too), and is declared with
``@check(id, proves, level)`` in the module of its family. Not-run never counts as pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from evidence.reading import MISSHAPEN, Bundle, Unreadable
from evidence.verdict import FAIL, NOT_RUN, PASS, WARN, CheckResult, Doubt, Finding

Findings = Iterator[Finding]
ABOUT = ("any", "rows", "evaluation", "rehearsal", "platform")
"""Runs that have a config, a log and an end: all; that have rows; that have rows and were evaluated; that rehearse
another; that ran in a session of a platform."""

COSTS = ("stdlib", "audit", "replay")
"""An audit needs the trainer's packages and reads the bundle's arrays; a replay trains again."""


class NotRun(Exception):
    """The check cannot answer; ``str()`` says why."""


@dataclass(frozen=True)
class Check:
    """``warns``: a finding is a warning, not a failure. ``cost``: what it needs, one of COSTS.

    ``about``: the runs it says something of, one of ABOUT; it is left out of the results of other bundles.
    """

    id: str
    family: str
    proves: str
    level: str
    find: Callable[[Bundle], Findings]
    warns: bool = False
    cost: str = "stdlib"
    about: str = "rows"

    def run(self, bundle: Bundle) -> CheckResult:
        reason = ""
        findings: list[Finding] = []
        try:
            for finding in self.find(bundle):
                findings.append(_as_text(finding))
                if len(findings) == 20:
                    break  # the twenty-first says nothing new
            result = self._result(findings)
        except (NotRun, Unreadable) as why:
            result = self._result(findings)
            if result != FAIL and not (self.warns and findings):  # a doubt is no answer
                result, reason, findings = NOT_RUN, str(why), []
        except MISSHAPEN as error:
            # A hostile bundle is data: a value of a shape that no trainer writes is a finding, never a crash.
            shape = Finding(
                "the bundle", "", "content of the shape this check reads", f"{type(error).__name__}: {error}"
            )
            result, findings = FAIL, [*findings, shape]
        severity = WARN if self.warns else FAIL
        return CheckResult(
            self.id, self.family, self.proves, self.level, result, reason, tuple(findings), severity, self.cost
        )

    def _result(self, findings: list[Finding]) -> str:
        if all(isinstance(finding, Doubt) for finding in findings):
            return WARN if findings else PASS
        return WARN if self.warns else FAIL


class Family:
    """The checks of one module, in the order they are declared."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.checks: list[Check] = []

    def check(
        self, id: str, proves: str, level: str, warns: bool = False, cost: str = "stdlib", about: str = "rows"
    ) -> Callable[[Callable[[Bundle], Findings]], Callable[[Bundle], Findings]]:
        def declare(find: Callable[[Bundle], Findings]) -> Callable[[Bundle], Findings]:
            self.checks.append(Check(id, self.name, proves, level, find, warns, cost, about))
            return find

        return declare


def differs(file: str, where: str, expected: object, found: object) -> Findings:
    """One finding if the two are not equal."""
    if expected != found:
        yield Finding(file, where, _short(expected), _short(found))


def close(first: float, second: float, share: float) -> bool:
    """Whether two numbers agree within a share of the larger."""
    return abs(first - second) <= share * max(abs(first), abs(second), 1e-30)


def texts(value: object, where: str) -> list[tuple[str, str]]:
    """Every text in a document and where it stands; a null counts as the text "null"."""
    if isinstance(value, str):
        return [(where, value)]
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in texts(item, f"{where}.{key}")]
    if isinstance(value, list):
        return [pair for index, item in enumerate(value) for pair in texts(item, f"{where}[{index}]")]
    return [(where, "null")] if value is None else []


def _as_text(finding: Finding) -> Finding:
    """The finding in words, whatever a hostile bundle put where a text is expected."""
    values = (finding.file, finding.where, finding.expected, finding.found)
    if all(isinstance(value, str) and len(value) <= 1000 for value in values):
        return finding
    return type(finding)(*(_short(value, 1000) for value in values))


def _short(value: object, longest: int = 160) -> str:
    text = str(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."
