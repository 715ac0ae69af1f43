"""INT: no byte changed, nothing unlisted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from evidence import canonical, crate, reading
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.manifest import File
from evidence.reading import Bundle
from evidence.verdict import Finding

family = Family("integrity")


def _listed(bundle: Bundle) -> list[tuple[str, str]]:
    lines = bundle.text(reading.SUMS).split("\n")
    found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines[:-1]]
    if lines[-1] or not all(found):
        raise NotRun(f"{reading.SUMS} is not in sha256sum's format")
    return [(match[2], match[1]) for match in found if match]


@family.check("INT-01", "no byte was changed", "E1", about="any")
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


@family.check("INT-02", "nothing is missing and nothing was slipped in", "E1", about="any")
def nothing_unlisted(bundle: Bundle) -> Findings:
    listed = {name for name, _ in _listed(bundle)}
    present = set(bundle.sealed_files)
    for name in sorted(listed - present):
        yield Finding(name, "", "a file, since it is listed", "nothing")
    for name in sorted(present - listed):
        yield Finding(name, "", f"a line in {reading.SUMS}", "none")


@family.check("INT-03", "every quoted digest and size is its file's", "E1", about="any")
def descriptors(bundle: Bundle) -> Findings:
    for where, file in bundle.references():
        document, _, field = where.partition(": ")
        if file.path in bundle.files:
            yield from differs(document, f"{field}.sha256", bundle.sha256(file.path), file.sha256)
            yield from differs(document, f"{field}.bytes", bundle.entries[file.path].st_size, file.bytes)

    log = bundle.told.location.session_log
    lines = bundle.bytes(reading.LOG).count(b"\n")
    yield from differs(reading.MANIFEST, "$.location.session_log.line_count", lines, log.line_count)


@family.check("INT-04", "its research object tells the same run and the same files", "E1", about="any")
def crate_agrees(bundle: Bundle) -> Findings:
    if reading.CRATE not in bundle.files:
        yield Finding(reading.CRATE, "", "a file", "nothing")
        return
    found = bundle.document(reading.CRATE)
    graph: list[dict[str, Any]] = found["@graph"]
    there = {entity["@id"]: entity for entity in graph}
    # The files as they are listed: that they lie there so is INT-01's and INT-02's to say.
    expected = crate.document(bundle, [_as_listed(bundle, there, *item) for item in _listed(bundle)])
    named = [*_other_entities(there, graph, expected["@graph"])]
    yield from differs(reading.CRATE, "$.@context", expected["@context"], found["@context"])
    yield from named
    if not named and canonical.pretty(expected) != bundle.text(reading.CRATE):
        yield Finding(reading.CRATE, "", "the file as sealing writes it", "other bytes")


def _other_entities(there: dict[str, Any], graph: list[dict[str, Any]], expected: list[dict[str, Any]]) -> Findings:
    for entity in expected:
        name = entity["@id"]
        if name not in there:
            yield Finding(reading.CRATE, "$.@graph", f"an entity {name}", "none")
            continue
        for key in sorted(entity.keys() | there[name].keys()):
            wanted, got = entity.get(key, "no such property"), there[name].get(key, "no such property")
            if isinstance(wanted, list) and isinstance(got, list):
                yield from _other_references(f"{name}: {key}", wanted, got)
            else:
                yield from differs(reading.CRATE, f"{name}: {key}", wanted, got)
    known = {entity["@id"] for entity in expected}
    for name in sorted(there.keys() - known):
        yield Finding(reading.CRATE, "$.@graph", "no entity beyond the run and its sealed files", str(name))
    for place, name in _references(graph):
        if name not in there and not name.startswith("http"):
            yield Finding(reading.CRATE, place, "an entity of this crate", f"{name}, which is none")


def _as_listed(bundle: Bundle, there: dict[str, Any], name: str, digest: str) -> File:
    if name in bundle.files and bundle.sha256(name) == digest:
        return File(name, digest, bundle.entries[name].st_size)
    return File(name, digest, int(there.get(crate.identifier(name), {}).get("contentSize", 0)))


def _other_references(where: str, wanted: list[Any], got: list[Any]) -> Findings:
    for item in wanted:
        if item not in got:
            yield Finding(reading.CRATE, where, f"a reference to {item['@id']}", "none")
    for item in got:
        if item not in wanted:
            yield Finding(reading.CRATE, where, "no other reference", str(item))


def _references(graph: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Where the entities point, and at what."""
    for entity in graph:
        for key, value in entity.items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    yield f"{entity['@id']}: {key}", item["@id"]
