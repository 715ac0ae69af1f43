"""The command line of ``python -m evidence``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evidence import record


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m evidence", description="Record runs, seal them, verify bundles.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    recording = commands.add_parser("record", help="run a trainer and write down how it was started and how it ended")
    recording.add_argument("run", type=Path, help="the run folder")
    recording.add_argument("command", nargs="+", help="-- COMMAND ...")
    recording.set_defaults(act=_record)
    options = parser.parse_args(arguments)
    return int(options.act(options))


def _record(options: argparse.Namespace) -> int:
    try:
        code = record.record(options.run, options.command)
    except record.AlreadyLaunched as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return code if code >= 0 else 128 - code
