"""The command line of ``python -m evidence``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from evidence import (
    archive,
    attempts,
    bundle,
    canonical,
    record,
    report,
    rundir,
    signing,
    trust,
    typed,
    verifier,
)
from evidence.known import Known, Told
from evidence.provenance import REPOSITORY
from evidence.reading import MISSHAPEN, REPLAY, Bundle, Unreadable
from evidence.replay import Replay
from evidence.verdict import LEVELS, NOT_RUN, PASS, WARN, CheckResult, Verdict
from evidence.verify import NotABundle, by_reason, verify

SUBMISSIONS = REPOSITORY / "submission_runs"
VALID, FINDINGS, UNUSABLE = 0, 1, 2


def home() -> Path:
    """Where runs and keys are kept."""
    return Path(os.environ.get("ASSAY_HOME") or REPOSITORY / "data").expanduser()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m evidence", description="Record runs, seal them, verify bundles.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    recording = commands.add_parser("record", help="run a trainer and write down how it was started and how it ended")
    recording.add_argument("run", type=Path, help="the run folder")
    recording.add_argument("command", nargs="+", help="-- COMMAND ...")
    recording.add_argument("--resume", action="store_true", help="as the next attempt of a run that ended early")
    recording.set_defaults(act=_record)
    seeing_out = commands.add_parser("see-out", help="end a trainer that lost its recorder and was asked to stop")
    seeing_out.add_argument("run", type=Path, help="the run folder")
    seeing_out.set_defaults(act=_see_out)
    sealing = commands.add_parser("seal", help="make a bundle of an ended run")
    sealing.add_argument("run", type=Path, help="the run folder")
    sealing.add_argument("--name", default="", help="name of the bundle (default: the run's name)")
    sealing.add_argument(
        "--into", type=Path, default=SUBMISSIONS, help="folder of the bundles (default: submission_runs)"
    )
    sealing.add_argument("--key", default=os.environ.get("ASSAY_KEY", ""), help="sign with this key, by name or file")
    sealing.add_argument("--unsigned", action="store_true", help="do not sign, though there is a key")
    sealing.add_argument(
        "--replace-rehearsal", action="store_true", help="take the place of the rehearsal of that name"
    )
    sealing.set_defaults(act=_seal)
    adding = commands.add_parser("sign", help="verify a bundle, and put the signed verdict beside its seal")
    adding.add_argument("bundle", type=Path, help="the bundle's folder")
    adding.add_argument("--as-maker", action="store_true", help="also sign its files and provenance, as sealing does")
    adding.add_argument("--replay", action="store_true", help="also vouch for its replay/result.json, made by you")
    adding.add_argument("--key", default=os.environ.get("ASSAY_KEY", ""), help="sign with this key, by name or file")
    adding.set_defaults(act=_sign)
    verifying = commands.add_parser("verify", help="check a bundle: exit 0 valid, 1 findings, 2 unusable")
    verifying.add_argument("bundle", type=Path, help="the bundle's folder")
    verifying.add_argument("--level", choices=LEVELS, default="", help="fail when the bundle does not reach this level")
    verifying.add_argument(
        "--trusted-keys", type=Path, metavar="FILE", help="believe the keys of this file, and no other"
    )
    verifying.add_argument(
        "--quick", action="store_true", help="without reading arrays, tokens and program again (no E3)"
    )
    verifying.add_argument("--replay", action="store_true", help="also train a drawn segment again (E4)")
    verifying.add_argument("--draw", default="", metavar="NONCE", help="draw that segment by this (default: at random)")
    verifying.add_argument(
        "--told", type=Path, metavar="FILE", help="what the platform's API says of the session, as JSON (E5)"
    )
    verifying.add_argument("--json", action="store_true", help="print the verdict as JSON")
    verifying.set_defaults(act=_verify)
    exporting = commands.add_parser("export", help="write a bundle as one file that verifies as it does")
    exporting.add_argument("bundle", type=Path, help="the bundle's folder")
    how = exporting.add_mutually_exclusive_group(required=True)
    how.add_argument("--zip", type=Path, metavar="FILE", help="as a zip")
    how.add_argument("--bagit", type=Path, metavar="PLACE", help="as a BagIt bag: a new folder, or FILE.zip")
    exporting.set_defaults(act=_export)
    importing = commands.add_parser("import", help="unpack a bundle's zip, trusting none of it, and verify")
    importing.add_argument("archive", type=Path, help="the zip")
    importing.add_argument("--into", type=Path, required=True, help="folder of the imported bundles")
    importing.add_argument("--name", default="", help="what to call it here (default: its own name)")
    importing.set_defaults(act=_import)
    options = parser.parse_args(arguments)
    return int(options.act(options))


def _record(options: argparse.Namespace) -> int:
    try:
        code = record.record(options.run, options.command, resume=options.resume)
    except (record.AlreadyLaunched, attempts.CannotResume) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return code if code >= 0 else 128 - code


def _see_out(options: argparse.Namespace) -> int:
    record.see_out(options.run)
    return 0


def _unusable(error: Exception) -> int:
    """Say in a sentence what could not be used, and why."""
    said = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        said = f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    if isinstance(error, FileNotFoundError) and error.filename:
        said = f"there is no {error.filename}"
    print(f"Error: {said}", file=sys.stderr)
    return UNUSABLE


def _seal(options: argparse.Namespace) -> int:
    if not (options.run / rundir.SPEC).is_file():
        print(
            f"Error: there is no run {options.run} (no {rundir.SPEC} in it); name one by its id or its folder",
            file=sys.stderr,
        )
        return UNUSABLE
    try:
        name = options.name or rundir.read_ask(options.run).name
        signer = None if options.unsigned else signing.chosen(home(), options.key)
        place = bundle.seal(options.run, options.into, name, signer, replace_rehearsal=options.replace_rehearsal)
    except bundle.SealRefused as refused:
        print("Error: this run cannot be sealed:", file=sys.stderr)
        _print_findings(refused.results, sys.stderr)
        return FINDINGS
    except (bundle.NameTaken, OSError, ValueError) as error:
        return _unusable(error)
    print(f"Sealed {place}" + (f", signed by {signer.name}" if signer else ""))
    try:
        known = Known(no_audit=f"not while sealing; assay verify {name} makes one", trust=_believed(signer))
    except trust.TrustError as error:
        return _unusable(error)
    return _print_verdict(place, verify(place, known=known), known)


def _believed(signer: signing.Signer | None) -> trust.Trust:
    """Whose signatures count here, one's own among them. Raises TrustError."""
    known = trust.known(home(), trust.PINNED)
    if signer and not known.find(signer.public.fingerprint, trust.SIGNER):
        known += trust.Trust((trust.Key(signer.name, trust.SIGNER, signer.public, own=True),))
    return known


def _sign(options: argparse.Namespace) -> int:
    path = options.bundle
    try:
        if (signer := signing.chosen(home(), options.key)) is None:
            raise signing.SigningError("there is no key to sign with; make one with: assay key new --name NAME")
        known = Known(trust=_believed(signer))
        if options.as_maker:
            signing.attest(path, signer)
            print(f"Signed {path.name} and its provenance")
        if options.replay:
            made = typed.read(Replay, canonical.read(path / REPLAY)) if (path / REPLAY).is_file() else None
            done = signing.attest_replay(path, signer, verify(path, known=replace(known, replay=made)))
            print(f"Signed {REPLAY}: {done}")
        verdict = verify(path, known=known)
        print(f"Signed the verdict: {signing.attest_verdict(path, signer, verdict)}")
    except (NotABundle, OSError, Unreadable, ValueError) as error:
        return _unusable(error)
    return VALID if verdict.valid else FINDINGS


def _verify(options: argparse.Namespace) -> int:
    try:
        believed = _trusted(options.trusted_keys)
        known = _known(options, believed)
        verdict = verify(options.bundle, known=known)
    except (NotABundle, OSError, ValueError, trust.TrustError) as error:
        return _unusable(error)
    if options.json:
        print(canonical.pretty({"bundle": options.bundle.name, **typed.write(verdict)}), end="")
    else:
        _print_verdict(options.bundle, verdict, known)
    if verdict.level < options.level:
        print(f"Error: level {options.level} was asked for, {verdict.level or 'none'} is reached", file=sys.stderr)
        return FINDINGS
    return VALID if verdict.valid else FINDINGS


def _export(options: argparse.Namespace) -> int:
    if not options.bundle.is_dir():
        print(f"Error: {options.bundle}: there is no folder of this name", file=sys.stderr)
        return UNUSABLE
    target = options.zip or options.bagit
    try:
        (archive.export_zip if options.zip else archive.export_bag)(options.bundle, target)
    except archive.NotFaithful as error:
        print(f"Error: {error}", file=sys.stderr)
        return FINDINGS
    except (OSError, Unreadable) as error:
        return _unusable(error)
    print(f"Exported {target}; unpacked again, it verifies as the bundle does")
    return VALID


def _import(options: argparse.Namespace) -> int:
    try:
        place = archive.take_in(options.archive, options.into, options.name)
    except (archive.Refused, bundle.NameTaken, OSError) as error:
        return _unusable(error)
    print(f"Imported {place}")
    known = Known(no_audit=f"not while importing; assay verify {place.parent.name} makes one")
    return _print_verdict(place, verify(place, known=known), known)


def _trusted(file: Path | None) -> trust.Trust:
    """The keys of ``file``; without one, those that are pinned here. Raises TrustError."""
    if file is None:
        return trust.known(home(), trust.PINNED)
    if not file.is_file():
        raise trust.TrustError(f"{file}: there is no such file")
    return trust.read(file)


def _known(options: argparse.Namespace, believed: trust.Trust) -> Known:
    """What this verifier brings along. Raises OSError, ValueError for a file that does not say what it should."""
    known = verifier.audited(options.bundle, Known(trust=believed), _say, quick=options.quick)
    if options.replay or options.draw:
        known = verifier.replayed(options.bundle, known, _say, options.draw)
    if options.told:
        known = replace(known, platform=typed.read(Told, canonical.read(options.told)))
    return known


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _print_verdict(path: Path, verdict: Verdict, known: Known) -> int:
    try:
        print(report.report(Bundle(path, known), verdict).sentence)
    except MISSHAPEN as error:
        print(f"{path.name} cannot be told: {error}")
    _print_findings((item for item in verdict.results if item.result not in (PASS, NOT_RUN)), sys.stdout)
    for ids, why in by_reason((item for item in verdict.results if item.result == NOT_RUN), lambda item: item.reason):
        print(f"NOT-RUN {ids}: {why}")
    counts = [sum(item.result == word for item in verdict.results) for word in (PASS, "fail", WARN, NOT_RUN)]
    print("{} checks passed, {} failed, {} warned, {} not run".format(*counts))
    for gap in verdict.gaps:
        print(gap)
    return VALID if verdict.valid else FINDINGS


def _print_findings(results: Iterable[CheckResult], stream: TextIO) -> None:
    for result in results:
        print(
            f"{result.result.upper():7} {result.id}: {result.proves}"
            + (f" ({result.reason})" if result.reason else ""),
            file=stream,
        )
        for finding in result.findings:
            print(f"        {finding}", file=stream)
