"""The command line of ``python -m evidence``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from evidence import attempts, audit, bundle, canonical, deeper, record, replaying, report, rundir, typed
from evidence.known import Known
from evidence.provenance import REPOSITORY
from evidence.reading import Bundle, Unreadable
from evidence.verdict import LEVELS, NOT_RUN, PASS, WARN, CheckResult, Verdict
from evidence.verify import NotABundle, verify

SUBMISSIONS = REPOSITORY / "submission_runs"
VALID, FINDINGS, UNUSABLE = 0, 1, 2


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m evidence", description="Record runs, seal them, verify bundles.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    recording = commands.add_parser("record", help="run a trainer and write down how it was started and how it ended")
    recording.add_argument("run", type=Path, help="the run folder")
    recording.add_argument("command", nargs="+", help="-- COMMAND ...")
    recording.add_argument("--resume", action="store_true", help="as the next attempt of a run that ended early")
    recording.set_defaults(act=_record)
    sealing = commands.add_parser("seal", help="make a bundle of an ended run")
    sealing.add_argument("run", type=Path, help="the run folder")
    sealing.add_argument("--name", default="", help="name of the bundle (default: the run's name)")
    sealing.add_argument(
        "--into", type=Path, default=SUBMISSIONS, help="folder of the bundles (default: submission_runs)"
    )
    sealing.set_defaults(act=_seal)
    verifying = commands.add_parser("verify", help="check a bundle: exit 0 valid, 1 findings, 2 unusable")
    verifying.add_argument("bundle", type=Path, help="the bundle's folder")
    verifying.add_argument("--level", choices=LEVELS, default="", help="fail when the bundle does not reach this level")
    verifying.add_argument(
        "--quick", action="store_true", help="without reading arrays, tokens and program again (no E3)"
    )
    verifying.add_argument("--replay", action="store_true", help="also train a drawn segment again (E4)")
    verifying.add_argument("--draw", default="", metavar="NONCE", help="draw that segment by this (default: at random)")
    verifying.add_argument("--json", action="store_true", help="print the verdict as JSON")
    verifying.set_defaults(act=_verify)
    options = parser.parse_args(arguments)
    return int(options.act(options))


def _record(options: argparse.Namespace) -> int:
    try:
        code = record.record(options.run, options.command, resume=options.resume)
    except (record.AlreadyLaunched, attempts.CannotResume) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return code if code >= 0 else 128 - code


def _seal(options: argparse.Namespace) -> int:
    try:
        name = options.name or rundir.read_ask(options.run).name
        place = bundle.seal(options.run, options.into, name)
    except bundle.SealRefused as refused:
        print("Error: this run cannot be sealed:", file=sys.stderr)
        _print_findings(refused.results, sys.stderr)
        return FINDINGS
    except (bundle.NameTaken, OSError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return UNUSABLE
    print(f"Sealed {place}")
    return _print_verdict(place, verify(place))


def _verify(options: argparse.Namespace) -> int:
    try:
        verdict = verify(options.bundle, known=_replayed(options, _known(options)))
    except (NotABundle, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return UNUSABLE
    if options.json:
        print(canonical.pretty({"bundle": options.bundle.name, **typed.write(verdict)}), end="")
    else:
        _print_verdict(options.bundle, verdict)
    if verdict.level < options.level:
        print(f"Error: level {options.level} was asked for, {verdict.level or 'none'} is reached", file=sys.stderr)
        return FINDINGS
    return VALID if verdict.valid else FINDINGS


def _known(options: argparse.Namespace) -> Known:
    """What this verifier brings along: an audit of its own, where it can make one and is not in a hurry."""
    if options.quick:
        return Known(no_audit="left out (--quick)")
    if not options.bundle.is_dir():
        return Known()  # verify says so
    if why := deeper.missing():
        return Known(no_audit=why)
    print(f"Reading the arrays, tokens and program of {options.bundle.name} again …", file=sys.stderr, flush=True)
    try:
        return Known(audit=audit.make(options.bundle))
    except deeper.Impossible as error:
        return Known(no_audit=f"no audit could be made: {error}")


def _replayed(options: argparse.Namespace, known: Known) -> Known:
    """With a replay of this verifier's own, where one was asked for and can be made."""
    if not (options.replay or options.draw) or not options.bundle.is_dir():
        return known
    print(f"Training a segment of {options.bundle.name} again …", file=sys.stderr, flush=True)
    try:
        return replace(known, replay=replaying.make(options.bundle, replaying.Ask(nonce=options.draw)))
    except (deeper.Impossible, replaying.CannotReplay, Unreadable) as error:
        return replace(known, no_replay=f"no replay could be made: {error}")


def _print_verdict(path: Path, verdict: Verdict) -> int:
    try:
        print(report.report(Bundle(path), verdict).sentence)
    except Unreadable as error:
        print(f"{path.name} cannot be told: {error}")
    _print_findings((item for item in verdict.results if item.result != PASS), sys.stdout)
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
