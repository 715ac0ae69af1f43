"""SIG: who stands for this bundle, and that their signatures are about these bytes and nothing else.

A bundle that nobody signed keeps its level, and SIG-05 warns. A key is never taken from a bundle: a statement by a key
that was not pinned cannot be checked and counts for nothing, though what it says must be true all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from evidence import attestations, dsse, reading, typed
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.reading import Bundle
from evidence.trust import SIGNER, WITNESS
from evidence.verdict import Finding

family = Family("signatures")


def _signed(bundle: Bundle) -> Iterator[tuple[str, dsse.Signed]]:
    """The statements that can be read; SIG-04 has the others."""
    for name in attestations.files(bundle):
        try:
            yield name, dsse.read(bundle.bytes(name))
        except dsse.Malformed:
            continue


def _claimed_signer(signed: dsse.Signed) -> str:
    """The name in a provenance's builder.id; "" where there is none."""
    try:
        builder = signed.statement.predicate["runDetails"]["builder"]["id"]
        match = attestations.BUILDER.fullmatch(builder)
    except (LookupError, TypeError):
        return ""
    return match[2] if match else ""


@family.check("SIG-01", "every signature is by the key that was pinned for its signer", "E1", about="any")
def by_pinned_keys(bundle: Bundle) -> Findings:
    trust = bundle.known.trust
    at_sealing: dict[str, str] = {}
    for name, signed in _signed(bundle):
        if name in attestations.AT_SEALING:
            at_sealing[name] = signed.keyid
        if pinned := trust.named(_claimed_signer(signed)):
            yield from differs(name, f"key of {pinned.name}", pinned.public.fingerprint, signed.keyid)
        key = trust.find(signed.keyid, SIGNER)
        if key is None:
            if witness := trust.find(signed.keyid, WITNESS):
                found = f"a key that is pinned for witnessing alone ({witness.name})"
                yield Finding(name, "keyid", "a signer's key", found)
        elif key.revoked:
            yield Finding(name, "keyid", "a key that still counts", f"the revoked key of {key.name}: {key.revoked}")
        elif not signed.verifies(key.public):
            yield Finding(name, "signature", f"a signature by the key of {key.name}", "one that does not verify")
    if at_sealing:
        for name in attestations.AT_SEALING:
            if name not in bundle.files:
                yield Finding(name, "", "a statement, since the bundle was signed", "nothing")
    if len(set(at_sealing.values())) > 1:
        yield Finding(attestations.PROVENANCE, "keyid", "the key that signed the files", "another key")


@family.check("SIG-02", "a signature covers every file, and this bundle", "E1", about="any")
def covers_the_tree(bundle: Bundle) -> Findings:
    for name, signed in _signed(bundle):
        subject = [(item.name, item.digest.sha256) for item in signed.statement.subject]
        if name == attestations.MODEL:
            yield from _model(bundle, signed, subject)
            continue
        about = [attestations.seal_of(bundle)]
        later = attestations.LATER.fullmatch(name)
        if later and later[1] == "replay":
            if reading.REPLAY not in bundle.files:
                yield Finding(name, "subject", f"{reading.REPLAY}, which is there", "a statement about nothing")
                continue
            about.insert(0, (reading.REPLAY, bundle.sha256(reading.REPLAY)))
        yield from differs(name, "subject", about, subject)


def _model(bundle: Bundle, signed: dsse.Signed, subject: list[tuple[str, str]]) -> Findings:
    try:
        said: attestations.ModelSignature = typed.read(attestations.ModelSignature, signed.statement.predicate)
    except typed.WrongDocument:
        return  # SIG-04 has it
    listed = [(item.name, item.digest) for item in said.resources]
    stated, actual = dict(listed), attestations.resources(bundle)
    there = dict(actual)
    for name in sorted(there.keys() - stated.keys()):
        yield Finding(attestations.MODEL, "resources", f"{name}, since it is a file of this bundle", "nothing")
    for name in sorted(stated.keys() - there.keys()):
        yield Finding(attestations.MODEL, "resources", "no file that is not there", name)
    for name in sorted(there.keys() & stated.keys()):
        yield from differs(attestations.MODEL, f"resources ({name})", there[name], stated[name])
    if len(listed) != len(stated):
        yield Finding(attestations.MODEL, "resources", "each file once", f"{len(listed)} entries, {len(stated)} names")
    elif stated.keys() == there.keys() and [name for name, _ in listed] != [name for name, _ in actual]:
        yield Finding(attestations.MODEL, "resources", "sorted by path", "another order")
    root = attestations.root_digest(digest for _, digest in listed)
    yield from differs(attestations.MODEL, "subject", [(bundle.told.run.name, root)], subject)
    yield from differs(
        attestations.MODEL, "ignore_paths", list(reading.BESIDE_THE_SEAL), said.serialization.ignore_paths
    )
    yield from differs(attestations.MODEL, "allow_symlinks", False, said.serialization.allow_symlinks)


@family.check("SIG-03", "the signed provenance is the manifest's", "E1", about="any")
def provenance_is_manifest(bundle: Bundle) -> Findings:
    for name, signed in _signed(bundle):
        if name != attestations.PROVENANCE:
            continue
        claimed = _claimed_signer(signed)
        key = bundle.known.trust.find(signed.keyid, SIGNER)
        signer = key.name if key and not key.own else claimed  # what one calls one's own key may change
        try:
            expected = attestations.provenance_statement(bundle, signer)["predicate"]
        except (LookupError, TypeError):
            raise NotRun(f"{reading.MANIFEST} does not tell what a provenance needs (SCH-01)") from None
        yield from _compare(name, "predicate", expected, signed.statement.predicate)


@family.check("SIG-04", "every statement is of a known kind, exactly", "E1", about="any")
def exact_types(bundle: Bundle) -> Findings:
    types: dict[str, tuple[str, type | None]] = {
        attestations.MODEL: (attestations.MODEL_TYPE, attestations.ModelSignature),
        attestations.PROVENANCE: (attestations.PROVENANCE_TYPE, None),  # compared whole by SIG-03
    }
    for name in attestations.files(bundle):
        later = attestations.LATER.fullmatch(name)
        if name not in types and not later:
            yield Finding(name, "", "no file but the statements that this version knows", "this one")
            continue
        try:
            signed = dsse.read(bundle.bytes(name))
        except dsse.Malformed as error:
            for where, expected, found in error.problems:
                yield Finding(name, where, expected, found)
            continue
        kind, cls = types.get(name, (attestations.TEST_RESULT_TYPE, attestations.Tested))
        yield from differs(name, "predicateType", kind, signed.statement.predicateType)
        if later:
            yield from differs(name, "file name", f"{later[1]}-{signed.keyid[:16]}", f"{later[1]}-{later[2]}")
        if cls:
            try:
                typed.read(cls, signed.statement.predicate, "predicate")
            except typed.WrongDocument as error:
                for problem in error.problems:
                    yield Finding(name, problem.where, problem.expected, problem.found)


@family.check("SIG-05", "you know who signed it", "E1", warns=True, about="any")
def known_signers(bundle: Bundle) -> Findings:
    if not {*attestations.AT_SEALING} & set(bundle.files):
        yield Finding(attestations.FOLDER, "", "a signature by somebody you know", "a bundle that nobody signed")
    for name, signed in _signed(bundle):
        trust = bundle.known.trust
        key = trust.find(signed.keyid, SIGNER)
        if key and key.committed:
            pin = f"assay key trust {signed.keyid} --name {key.name}"
            found = f"the key of {key.name}, which only the repository names (once you know it is theirs: {pin})"
            yield Finding(name, "keyid", "a key that you pinned", found)
        elif key is None and not trust.find(signed.keyid, WITNESS):
            called = _claimed_signer(signed)
            who = f", which calls itself {called}" if called else ""
            pin = f"pin it with: assay key trust FILE --name {called or 'NAME'}"
            found = f"key {signed.keyid}{who}: unknown here, so its signature counts for nothing ({pin})"
            yield Finding(name, "keyid", "a key that you pinned", found)


def _compare(file: str, where: str, expected: object, found: object) -> Findings:
    """A finding for each place at which two documents differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted({*expected, *found}):
            if key not in found:
                yield Finding(file, f"{where}.{key}", str(expected[key]), "nothing")
            elif key not in expected:
                yield Finding(file, f"{where}.{key}", "no such field", str(found[key]))
            else:
                yield from _compare(file, f"{where}.{key}", expected[key], found[key])
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, pair in enumerate(zip(expected, found, strict=True)):
            yield from _compare(file, f"{where}[{index}]", *pair)
    elif type(expected) is not type(found) or expected != found:
        yield from differs(file, where, repr(expected), repr(found))
