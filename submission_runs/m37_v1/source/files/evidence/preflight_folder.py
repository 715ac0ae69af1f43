"""Preflights on disk: a folder of jobs (evidence/job_folder.py), and which of them answers what is asked now.

Cancelled, a preflight is killed, not asked: a compiler answers no signal for minutes, nothing of it is worth keeping,
and the kernel lets go of its locks.
"""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from evidence import canonical, job_folder, preflight, typed
from evidence.hardware import TOPOLOGIES, Topology
from evidence.job_folder import DONE, GOING_ON
from evidence.preflight import Report, Request
from evidence.preflight_comparison import attempt_of
from evidence.spec import Problem, RunSpec, SpecError, parse

KIND = job_folder.Kind("preflight", preflight.REPORT, "no report")


class Unreadable(ValueError):
    """The folder holds no such document of this version; the message names the file."""


def topology(name: str) -> Topology:
    """The topology of this name. Raises SpecError that lists those there are."""
    if name not in TOPOLOGIES:
        known = ", ".join(TOPOLOGIES)
        raise SpecError([Problem("topology", f"topology must be one of {known}, got {name[:80]!r}")])
    return TOPOLOGIES[name]


def read_request(folder: Path) -> Request:
    """Raises Unreadable."""
    return _read(Request, folder / job_folder.REQUEST)  # type: ignore[no-any-return]


def read_report(path: Path) -> Report:
    """The report in the file at ``path``: a preflight's, or the copy that a run keeps. Raises Unreadable."""
    return _read(Report, path)  # type: ignore[no-any-return]


def equal(root: Path, asked: Request) -> Path | None:
    """The newest preflight below ``root`` that asks the same and is done, by the same compiler, or going on."""
    spec = parse(asked.spec)
    for folder in reversed(job_folder.folders(root)):
        state = KIND.standing(folder).state
        try:
            if state == DONE and _answers(read_report(folder / preflight.REPORT), asked, spec):
                return folder
            if state in GOING_ON and _asks_the_same(read_request(folder), asked, spec):
                return folder
        except (Unreadable, SpecError):
            continue  # of another version, or broken: it answers nothing
    return None


def newest_for(root: Path, spec: RunSpec, topology: str = "") -> Path | None:
    """The report file of the newest preflight below ``root`` in which the very step of ``spec`` was compiled (for
    ``topology``, where one is named), by the code and the compiler that are here."""
    for folder in reversed(job_folder.folders(root)):
        path = folder / preflight.REPORT
        try:
            if path.is_file() and attempt_of(report := read_report(path), spec):
                if topology and report.target.name != topology:
                    continue
                asked = read_request(folder)
                if _answers(report, asked, parse(asked.spec)):
                    return path
        except (Unreadable, SpecError):
            continue
    return None


def _answers(report: Report, asked: Request, spec: RunSpec) -> bool:
    versions = {name: _installed(name, version) for name, version in report.versions.items()}
    place = topology(asked.topology)
    return report.key == preflight.key(spec, place, versions, search=asked.search, largest=asked.largest)


def _asks_the_same(other: Request, asked: Request, spec: RunSpec) -> bool:
    if (other.topology, other.search, other.largest) != (asked.topology, asked.search, asked.largest):
        return False
    return preflight.program_settings(parse(other.spec)) == preflight.program_settings(spec)


def _installed(name: str, otherwise: str) -> str:
    """The version of a package here; ``otherwise`` for a name that is no package's."""
    if name == "python":
        return platform.python_version()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return otherwise if name not in ("jax", "jaxlib", "libtpu") else ""


def _read(cls: type, path: Path) -> Any:
    try:
        return typed.read(cls, canonical.read(path))
    except OSError as error:
        raise Unreadable(f"{path.name}: {error.strerror}") from None
    except ValueError as error:
        raise Unreadable(f"{path.name} is not of this version: {error}") from None
