"""What checks do with an audit: find the part they need, and say why a difference proves nothing where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from evidence import states
from evidence.audit import Audit, NotMade
from evidence.checks.check import Findings, NotRun, differs
from evidence.reading import Bundle

T = TypeVar("T")


def audit(bundle: Bundle) -> Audit:
    """The verifier's audit of this very bundle. Raises NotRun."""
    found = bundle.known.audit
    if found is None:
        raise NotRun(bundle.known.no_audit)
    if found.seal != bundle.seal:
        raise NotRun("the audit is of other bytes than these: audit the bundle again")
    return found


def seen(part: T | NotMade) -> T:
    """The part, if it could be observed. Raises NotRun."""
    if isinstance(part, NotMade):
        raise NotRun(part.because)
    return part


def packages(bundle: Bundle) -> dict[str, str]:
    """What was installed where the run ran."""
    lines = bundle.text("environment/packages.txt").splitlines()
    return dict(line.split("==", 1) for line in lines if "==" in line)


def excuse(bundle: Bundle, group: str, *names: str) -> str:
    """Why something recomputed here may differ from an honest run's: other code, other packages; "" for no reason."""
    found, there = audit(bundle), packages(bundle)
    for source in found.sources:
        if source.group == group and source.differing:
            return f"{source.differing[0]} of the run is not the one that is installed here"
    for name in names:
        if found.versions.get(name) != there.get(name):
            return f"the run had {name} {there.get(name, 'not at all')}, and here is {found.versions.get(name)}"
    return ""


def recomputed(file: str, where: str, expected: object, found: object, because: str) -> Findings:
    """One finding if what was recomputed is not what is stated. Raises NotRun where there is an ``excuse``: equal
    digests prove, whatever code made them, but different ones prove nothing then."""
    if expected != found and because:
        raise NotRun(f"{file}: {where} is another here, but {because}; a replay with the bundle's own source can tell")
    yield from differs(file, where, expected, found)


def tokenizer_packages(bundle: Bundle) -> tuple[str, ...]:
    """What token ids depend on beside our code: bytes need nothing."""
    return () if bundle.manifest.tokenizer.kind == "byte" else ("tokenizers",)


def same_leaves(
    bundle: Bundle, name: str, part: str, expected: Mapping[str, tuple[str, list[int]]], because: str
) -> Findings:
    """Whether one part of a leaves file lists just the arrays that are ``expected``, by path, type and shape."""
    wanted = {path: facts for path, facts in expected.items() if path.startswith(f"{part}.")}
    listed = states.part(bundle.document(name)["leaves"], part)
    found = {leaf["path"]: (leaf["dtype"], leaf["shape"]) for leaf in listed}
    for path in sorted({*wanted, *found}):
        yield from recomputed(name, path, _said(wanted.get(path)), _said(found.get(path)), because)


def _said(facts: tuple[str, list[int]] | None) -> str:
    return f"{facts[0]} {facts[1]}" if facts else "no such array"
