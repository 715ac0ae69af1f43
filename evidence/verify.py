"""Verify a bundle: run every check, and say the highest level that holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from evidence.checks import CHECKS
from evidence.checks.check import ABOUT
from evidence.known import Known
from evidence.manifest import Failed, Local, Lost, NotPerformed
from evidence.reading import Bundle, Unreadable
from evidence.verdict import FAIL, LEVEL_MEANING, LEVELS, NOT_RUN, PASS, WARN, CheckResult, Finding, Verdict

HIGHEST = "E5"
"""The highest level that this version has all checks for."""


class NotABundle(ValueError):
    """There is no folder to verify."""


CORROBORATION = (("SIG-06",), ("KGL-01", "KGL-02", "KGL-05"))
"""Who can corroborate a run from outside: a witness, or the platform that lent the machine."""


def verify(path: Path, name: str = "", known: Known | None = None) -> Verdict:
    """The verdict over the bundle folder ``path``. Raises NotABundle.

    ``name`` is what the bundle is to be called when that is not its folder's name (while it is being sealed).
    ``known``: what the verifier brings along: an audit or a replay of its own, the keys it trusts.
    """
    if not path.is_dir():
        raise NotABundle(f"{path}: there is no folder of this name")
    bundle = Bundle(path, known)
    about = _about(bundle)
    results = [check.run(bundle) for check in CHECKS if check.about in about]
    results = [_with_name(result, bundle, name or path.resolve().name) for result in results]
    return _verdict(tuple(results), _limit(bundle))


def _with_name(result: CheckResult, bundle: Bundle, name: str) -> CheckResult:
    """SCH-04 also wants the folder to be called what the manifest says: only here is the folder's name known."""
    if result.id != "SCH-04" or result.result == NOT_RUN or bundle.told.run.name == name:
        return result
    finding = Finding("run_manifest.json", "$.run.name", f"the folder's name, {name}", bundle.told.run.name)
    return replace(result, result=FAIL, reason="", findings=(*result.findings, finding))


def _about(bundle: Bundle) -> tuple[str, ...]:
    """What checks have to be about to say something of this bundle (``check.ABOUT``)."""
    try:
        platform = () if isinstance(bundle.told.location, Local) else ("platform",)
        if bundle.early:
            return ("any", *platform)
        rehearsal = ("rehearsal",) if any(name.startswith("rehearsal/") for name in bundle.files) else ()
        evaluation = () if isinstance(bundle.summary.evaluation, NotPerformed) else ("evaluation",)
        return ("any", "rows", *evaluation, *rehearsal, *platform)
    except Unreadable:
        return ABOUT


def _limit(bundle: Bundle) -> str:
    """The highest level for a run of this outcome: one that failed proves that it failed, and no result."""
    try:
        return "E2" if bundle.silent or isinstance(bundle.told.run.outcome, Failed | Lost) else HIGHEST
    except Unreadable:
        return HIGHEST


def _verdict(results: tuple[CheckResult, ...], limit: str) -> Verdict:
    reached, gaps = "", []
    for level in LEVELS:
        if level > limit:
            gaps = [
                f"{level} ({LEVEL_MEANING[level]}) is not for a run that ended like this: it has no result to prove."
            ]
            break
        of_level = [item for item in results if item.level == level]
        if not of_level:
            gaps = [
                f"{level} ({LEVEL_MEANING[level]}) is not reached: none of its checks is about a bundle of this kind"
            ]
            break
        blocking = [item for item in of_level if item.result == FAIL or (item.result == NOT_RUN and _counts(item))]
        if level == HIGHEST and _corroborated(of_level):
            blocking = [item for item in blocking if item.result == FAIL]
        if blocking:
            gaps = [
                f"{level} ({LEVEL_MEANING[level]}) is not reached: {ids} {why}"
                for ids, why in by_reason(blocking, _why)
            ]
            break
        reached = level
    return Verdict(reached, all(item.result != FAIL for item in results), results, tuple(gaps))


def _corroborated(results: Iterable[CheckResult]) -> bool:
    """Whether somebody outside of the trainer said the same: one of those who could is enough."""
    held = {item.id for item in results if item.result == PASS}
    return any(held.issuperset(group) for group in CORROBORATION)


def by_reason(results: Iterable[CheckResult], why: Callable[[CheckResult], str]) -> list[tuple[str, str]]:
    """The ids of the checks that share a reason, and that reason, in order."""
    found: dict[str, list[str]] = {}
    for item in results:
        found.setdefault(why(item), []).append(item.id)
    return [(", ".join(ids), reason) for reason, ids in found.items()]


def _counts(result: CheckResult) -> bool:
    """Whether the check can keep a bundle from its level: one that only warns cannot, whatever it would have found."""
    return result.severity != WARN


def _why(result: CheckResult) -> str:
    if result.result == FAIL:
        return f"failed: {result.findings[0]}"
    return f"could not be run: {result.reason}"
