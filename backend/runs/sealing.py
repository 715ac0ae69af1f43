"""POST /runs/{id}/seal: a bundle of an ended run, or the findings that stand against it."""

from __future__ import annotations

from pathlib import Path

from backend.errors import Conflict, Invalid
from backend.runs import reading
from backend.runs.admission import check_name
from backend.server import Server
from evidence import attempts, signing
from evidence.bundle import NameTaken, SealRefused
from evidence.bundle import seal as seal_run
from evidence.status import LIVE


def seal(server: Server, run: Path, name: str | None) -> str:
    """The name of the new bundle. Raises Conflict, Invalid."""
    wanted = reading.summary(server, run).name if name is None else name
    check_name(wanted)
    try:
        with attempts.held(run):
            _seal(server, run, wanted)
    except attempts.CannotResume as error:
        raise Conflict(str(error)) from None
    return wanted


def _seal(server: Server, run: Path, wanted: str) -> None:
    server.follower.refresh(run)
    summary = reading.summary(server, run)
    if summary.state in LIVE:
        raise Conflict(f"run {run.name} is {summary.state}; only a run that has ended can be sealed")
    if server.library.is_imported(wanted):
        raise Conflict(f"there is an imported bundle named {wanted} already; choose another name")
    server.witness.settle(run)
    try:
        signer = signing.chosen(server.settings.home, server.settings.key)
        seal_run(run, server.settings.submissions, wanted, signer)
    except (NameTaken, signing.SigningError) as error:
        raise Conflict(str(error)) from None
    except SealRefused as error:
        findings = [(result.id, str(finding)) for result in error.results for finding in result.findings]
        sentences = "; ".join(text for _, text in findings)
        raise Invalid(f"the run cannot be sealed: {sentences}", findings=findings) from None
