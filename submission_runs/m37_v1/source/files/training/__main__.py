"""``python -m training RUN_DIR``. Nothing heavy is imported here: the platform is chosen before jax is loaded.

Started again in the folder of a run that ended early, it goes on there. As one of several processes it is told so by
``ASSAY_COORDINATOR=host:port ASSAY_PROCESSES=n ASSAY_PROCESS=i``; ``--processes n`` starts n of them here.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from importlib import metadata
from pathlib import Path

from evidence import canonical, events, provenance, rundir
from evidence.spec import SpecError
from training import devices, packages, peers
from training.errors import (
    ADDRESS_TAKEN,
    COMPLETED,
    FAILED,
    REFUSED,
    STOPPED,
    AddressTaken,
    GroupError,
    Refusal,
    TrainingError,
)
from training.peers import Peers
from training.reporter import Reporter
from training.stop import Stop


def main(arguments: list[str]) -> int:
    """Train the run in the folder named by the one argument; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Train a run folder, or go on with it.")
    parser.add_argument("run", type=Path, metavar="RUN_DIR")
    parser.add_argument("--processes", type=int, default=1, help="train in so many processes on this machine")
    parser.add_argument("--profile-steps", type=int, default=0, metavar="N", help="trace N steps after the warm-up")
    options = parser.parse_args(arguments)
    run: Path = options.run
    try:
        ask = rundir.read_ask(run)
        group = peers.asked(os.environ)
        if options.processes != 1:
            return _several(options, group)
        if group and not group.process:
            peers.check_address(group)
    except (OSError, canonical.JsonError, SpecError) as error:
        print(f"error: {run / rundir.SPEC} cannot be read: {error}", file=sys.stderr)
        return REFUSED
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return ADDRESS_TAKEN if isinstance(refusal, AddressTaken) else REFUSED
    first = not group or not group.process
    if not first:
        assert group is not None
        print(f"process {group.process} of {group.processes} prints to {rundir.output_of(group.process)}", flush=True)
        _print_to(run / rundir.output_of(group.process))
    stop = Stop()
    with Reporter(run, ask.spec.training, writes=first) as reporter:
        reporter.emit(
            events.RunStart(
                time=events.now(),
                run_id=ask.run_id,
                name=ask.name,
                nonce=ask.nonce,
                spec_sha256=ask.spec_sha256,
                versions=_versions(),
            )
        )
        return _guarded(run, ask, reporter, stop, Peers(group, ask.nonce, reporter), options.profile_steps)


def _several(options: argparse.Namespace, group: peers.Group | None) -> int:
    """Raises GroupError."""
    if group:
        raise GroupError(f"--processes {options.processes} cannot be given to a process that {peers.PROCESS} numbers")
    if options.processes < 1:
        raise GroupError(f"--processes must be at least 1, got {options.processes}")
    from training import group as here

    traced = ["--profile-steps", str(options.profile_steps)] if options.profile_steps else []
    return here.run(options.run, options.processes, traced)


def _guarded(run: Path, ask: rundir.Ask, reporter: Reporter, stop: Stop, peers: Peers, profile_steps: int) -> int:
    """The process's outermost edge: whatever ends the run is told in the event log before it is raised further."""
    try:
        reporter.phase("loading")
        packages.check()
        devices.choose_platform(ask.spec)
        peers.join(stop)
        from training.train import train

        completed = train(run, ask, reporter, stop, peers, profile_steps)
        peers.part()
        return COMPLETED if completed else STOPPED
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        peers.fail(refusal, REFUSED, own=True)
        return REFUSED
    except BaseException as error:  # noqa: BLE001
        # What is printed is evidence: a file of ours is named as the repository names it, wherever that lies.
        print(traceback.format_exc().replace(f"{provenance.REPOSITORY}/", ""), end="", file=sys.stderr, flush=True)
        peers.fail(error, FAILED, own=isinstance(error, TrainingError))
        return FAILED


def _print_to(path: Path) -> None:
    """Send standard output and standard error to a file, whoever writes them: jax's own code, too."""
    with path.open("ab") as output:
        sys.stdout.flush()
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)


def _versions() -> dict[str, str]:
    """What the numbers depend on."""
    names = {
        "jax": "jax",
        "jaxlib": "jaxlib",
        "flax": "flax",
        "optax": "optax",
        "orbax": "orbax-checkpoint",
        "numpy": "numpy",
    }
    return {"python": sys.version.split()[0], **{name: metadata.version(package) for name, package in names.items()}}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
