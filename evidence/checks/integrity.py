"""INT: no byte changed, nothing unlisted."""

from __future__ import annotations

import re

from evidence import reading
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.reading import Bundle
from evidence.verdict import Finding

family = Family("integrity")


def _listed(bundle: Bundle) -> list[tuple[str, str]]:
    lines = bundle.text(reading.SUMS).split("\n")
    found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines[:-1]]
    if lines[-1] or not all(found):
        raise NotRun(f"{reading.SUMS} is not in sha256sum's format")
    return [(match[2], match[1]) for match in found if match]


@family.check("INT-01", "no byte was changed", "E1")
def intact(bundle: Bundle) -> Findings:
    text = bundle.text(reading.SUMS)
    for number, line in enumerate(text.split("\n")[:-1], 1):
        if not re.fullmatch(r"[0-9a-f]{64}  .+", line):
            yield Finding(reading.SUMS, f"line {number}", "digest, two spaces, path", line)
            return
    listed = _listed(bundle)
    names = [name for name, _ in listed]
    if names != sorted(set(names)):
        yield Finding(reading.SUMS, "", "each path once, sorted", "another order")
    for name, digest in listed:
        if name in bundle.files:
            yield from differs(name, "sha256", digest, bundle.sha256(name))


@family.check("INT-02", "nothing is missing and nothing was slipped in", "E1")
def nothing_unlisted(bundle: Bundle) -> Findings:
    listed = {name for name, _ in _listed(bundle)}
    present = set(bundle.sealed_files)
    for name in sorted(listed - present):
        yield Finding(name, "", "a file, since it is listed", "nothing")
    for name in sorted(present - listed):
        yield Finding(name, "", f"a line in {reading.SUMS}", "none")


@family.check("INT-03", "every quoted digest and size is its file's", "E1")
def descriptors(bundle: Bundle) -> Findings:
    for where, file in bundle.references():
        document, _, field = where.partition(": ")
        if file.path in bundle.files:
            yield from differs(document, f"{field}.sha256", bundle.sha256(file.path), file.sha256)
            yield from differs(document, f"{field}.bytes", bundle.entries[file.path].st_size, file.bytes)
