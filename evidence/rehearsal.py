"""A rehearsal: the submission's own way, at a size that this machine can carry, before the machine it needs is there.

A run that is asked with ``rehearses`` keeps, in the folder ``rehearsal/``, that config and what the TPU's compiler said
of its step. Sealing adds ``rehearsal/rehearsal.json``: which settings differ from the submission's, and where its step
fits. A bundle that has it says in its first sentence that it is a rehearsal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from evidence import canonical, config_file, preflight, preflight_comparison, preflight_folder, typed
from evidence.hardware import TOPOLOGIES
from evidence.manifest import File
from evidence.preflight import Fits, Report
from evidence.rundir import REHEARSAL, Rehearsed
from evidence.spec import FIELDS, RunSpec, Scalar, resolve
from evidence.typed import Natural, Sha256, Text

SCHEMA: Final = "evidence/rehearsal@1"
DOCUMENT = f"{REHEARSAL}/rehearsal.json"
DECLARED, DECLARED_JSON = f"{REHEARSAL}/declared.yaml", f"{REHEARSAL}/declared.json"

SAID_NOT_DONE = ("name", "description", "expected_duration", "expected_result")
"""Settings that say what a config is for; nothing is computed from them."""


@dataclass(frozen=True)
class Difference:
    """A setting by its dotted key: what the submission asks for, and what the rehearsal was given."""

    key: Text
    submission: bool | int | float | str
    rehearsal: bool | int | float | str


@dataclass(frozen=True)
class Foretold:
    """What the compiler of ``topology`` said of the submission's step; ``peak_bytes`` on one device (0: it refused)."""

    file: File
    topology: Text
    fits: bool
    peak_bytes: Natural


@dataclass(frozen=True)
class Rehearsal:
    """``config``: the submission's config by its path in the repository; ``declared`` as it lies here, ``document`` the
    same as JSON; ``spec_sha256`` of the effective spec that it resolves to."""

    schema: Literal["evidence/rehearsal@1"]
    config: Text
    declared: File
    document: File
    spec_sha256: Sha256
    differences: list[Difference]
    preflights: list[Foretold]

    @property
    def name(self) -> str:
        """The config's short name, as commands take it."""
        return PurePosixPath(self.config).stem


def asked(config: Path, source: str, preflights: Path) -> Rehearsed:
    """What a run that rehearses the config in the file ``config`` keeps of it (``source``: what the repository calls
    it): also the newest report about its step for each topology, of those below ``preflights``. Raises SpecError."""
    document, text = config_file.load(config)
    spec, _ = resolve(document, {})
    files = {PurePosixPath(DECLARED).name: text.encode()}
    for topology in TOPOLOGIES:
        if found := preflight_folder.newest_for(preflights, spec, topology):
            files[f"preflight_{topology}.json"] = found.read_bytes()
    return Rehearsed(source, files)


def submission(document: object) -> RunSpec:
    """The submission's effective spec, from its declared config's document. Raises SpecError."""
    return resolve(document, {})[0]


def differences(submission: RunSpec, spec: RunSpec) -> list[Difference]:
    """Every setting in which the two differ, in the spec's order."""
    first, second = _flat(submission.as_dict()), _flat(spec.as_dict())
    return [
        Difference(key, first[key], second[key])
        for key in FIELDS
        if key not in SAID_NOT_DONE and (type(first[key]), first[key]) != (type(second[key]), second[key])
    ]


def foretold(file: File, document: Any, submission: RunSpec) -> Foretold:
    """What the report in ``file`` says of the submission's step. Raises WrongDocument, or ValueError where it is about
    another step."""
    report: Report = typed.read(preflight.Report, document)
    attempt = preflight_comparison.attempt_of(report, submission)
    if attempt is None:
        raise ValueError("a report about another step")
    peak = preflight_comparison.peak_bytes(attempt)
    return Foretold(file, report.target.name, isinstance(attempt, Fits), peak)


def command(rehearsal: Rehearsal, name: str) -> str:
    """What runs the submission itself, so that its evidence takes the place of the rehearsal's."""
    return f"assay launch {rehearsal.name} --launcher kaggle --name {name}"


def digest(spec: RunSpec) -> str:
    return canonical.digest(spec.as_dict())


def _flat(document: dict[str, Any], where: str = "") -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            found.update(_flat(value, f"{where}{key}."))
        else:
            found[f"{where}{key}"] = value
    return found
