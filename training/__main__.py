"""``python -m training RUN_DIR``. Nothing heavy is imported here: the platform is chosen before jax is loaded."""

from __future__ import annotations

import sys
import traceback
from importlib import metadata
from pathlib import Path

from evidence import canonical, events, rundir
from evidence.spec import SpecError
from training import devices
from training.errors import Refusal
from training.reporter import Reporter
from training.stop import Stop

COMPLETED, FAILED, REFUSED, STOPPED = 0, 1, 2, 75


def main(arguments: list[str]) -> int:
    """Train the run in the folder named by the one argument; returns the exit code."""
    if len(arguments) != 1:
        print("usage: python -m training RUN_DIR", file=sys.stderr)
        return REFUSED
    run = Path(arguments[0])
    try:
        ask = rundir.read_ask(run)
    except (OSError, canonical.JsonError, SpecError) as error:
        print(f"error: {run / rundir.SPEC} cannot be read: {error}", file=sys.stderr)
        return REFUSED
    stop = Stop()
    with Reporter(run, ask.spec.training) as reporter:
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
        return _guarded(run, ask, reporter, stop)


def _guarded(run: Path, ask: rundir.Ask, reporter: Reporter, stop: Stop) -> int:
    """The process's outermost edge: whatever ends the run is told in the event log before it is raised further."""
    try:
        reporter.phase("loading")
        devices.choose_platform(ask.spec)
        from training.train import train

        return COMPLETED if train(run, ask, reporter, stop) else STOPPED
    except Refusal as refusal:
        reporter.failed(refusal)
        print(f"error: {refusal}", file=sys.stderr)
        return REFUSED
    except BaseException as error:  # noqa: BLE001
        reporter.failed(error)
        traceback.print_exc()
        return FAILED


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
