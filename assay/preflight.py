"""``assay preflight``: will it fit? Compiled here, without a server; the answer is where a later run finds it."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from assay.progress import console, errors
from evidence import config_file, job_folder, preflight, preflight_folder, preflight_text, provenance, rundir
from evidence.canonical import pretty
from evidence.job_folder import DONE
from evidence.preflight import Report, Request
from evidence.spec import Scalar, resolve

FITS, DOES_NOT_FIT, CANNOT_SAY = 0, 1, 2
COMMAND = (sys.executable, "-m", "training.preflight")
LOOK_SECONDS = 0.2


def ask(
    config: Path, overrides: dict[str, Scalar], topology: str, *, search: bool = False, largest: bool = False
) -> Request:
    """What the job is to compile. Raises SpecError."""
    document, _ = config_file.load(config)
    preflight_folder.topology(topology)
    spec, _ = resolve(document, overrides)
    return Request(provenance.config_name(config), topology, spec.as_dict(), search, largest)


def run(
    request: Request,
    root: Path,
    *,
    fresh: bool = False,
    as_json: bool = False,
    save: Path | None = None,
    command: tuple[str, ...] = COMMAND,
) -> int:
    """Compile in a new folder below ``root``, or use what is known, and print it: 0 fits, 1 does not, 2 cannot say."""
    known = None if fresh else preflight_folder.equal(root, request)
    if known and preflight_folder.KIND.standing(known).state == DONE:
        when = job_folder.created_at(known)
        errors.print(f"Known since {when}: the same step, topology and compiler. --fresh compiles again.")
        folder = known
    else:
        folder = job_folder.create(root, request, command)
        _compile(folder, command)
    standing = preflight_folder.KIND.standing(folder)
    if standing.state != DONE:
        return _fail(standing.reason)
    try:
        report = preflight_folder.read_report(folder / preflight.REPORT)
    except preflight_folder.Unreadable as error:
        return _fail(str(error))
    return _tell(report, folder, as_json, save)


def _compile(folder: Path, command: tuple[str, ...]) -> None:
    """Run the job to its end, a line for each thing that it says. An interrupt takes the job with it.

    The end is a word in a list: an interrupt within an Event's or a thread's wait can leave its lock held for good.
    """
    ended: list[bool] = []
    watcher: threading.Thread | None = None
    try:
        try:
            process = job_folder.start(folder, command)
        except OSError as error:
            job_folder.fail(folder, f"The preflight could not be started: {error.strerror}.")
            return

        def watch() -> None:
            try:
                job_folder.wait(folder, process)
            finally:
                ended.append(True)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        offset = 0
        while True:
            last = bool(ended)
            said, offset = job_folder.said_since(folder, offset)
            for item in said:
                far = f"{item.done} of {item.total}: " if item.total else ""
                errors.print(f"  {far}{item.doing}", markup=False)
            if last:
                return
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:  # it may come before there is anybody who watches
        preflight_folder.KIND.cancel(folder)
        while watcher and watcher.ident is not None and not ended:
            time.sleep(LOOK_SECONDS)
        raise


def _tell(report: Report, folder: Path, as_json: bool, save: Path | None) -> int:
    document = rundir.read_document(folder / preflight.REPORT)
    if save:
        try:
            rundir.write_document(save, document)
        except OSError as error:
            return _fail(f"the report cannot be saved to {save}: {error.strerror}")
    if as_json:
        print(pretty(document), end="")
    else:
        console.print(preflight_text.text(report), markup=False, end="")
    return FITS if report.fits else DOES_NOT_FIT


def _fail(reason: str) -> int:
    for line in reason.splitlines():
        errors.print(f"Error: {line}", markup=False)
    return CANNOT_SAY
