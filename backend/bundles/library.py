"""The sealed bundles, verified when they are asked for. A verdict is kept only while no file of the bundle changes."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ValidationError

from backend.bundles import answers
from backend.bundles.signature import signature
from backend.errors import Conflict, Invalid, NotFound
from backend.runs import rows
from backend.runs.answers import STEP_COLUMNS, Columns, Prediction, Sample
from evidence import archive, reading, replay_job
from evidence.bundle import NameTaken
from evidence.events import LOG_MARK
from evidence.known import Known
from evidence.manifest import Performed
from evidence.reading import MISSHAPEN
from evidence.report import hardware, report
from evidence.spec import NAME, Problem
from evidence.trust import Trust
from evidence.verdict import LEVEL_MEANING, Report, Verdict
from evidence.verify import verify

SPARK_POINTS = 40
RESULTS = tuple(f"/{name}" for name in (replay_job.AUDIT, replay_job.NO_AUDIT, replay_job.RESULT))
EXCERPT_STEPS = 3
"""Steps shown of each end of the log."""

Value = TypeVar("Value")
Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class _Verified:
    signature: Signature
    trust: Trust
    verdict: Verdict
    bundle: answers.Bundle


class Library:
    """The bundles below ``root``, and those that others sent, in ``imported/<name>/<their own name>``, as one sees them
    who believes the keys of ``trust``. What jobs below ``replays`` found out of a bundle's very bytes is known."""

    def __init__(self, root: Path, imported: Path, replays: Path, trust: Callable[[], Trust]) -> None:
        self._root, self._imported, self._replays, self._trust = root, imported, replays, trust
        self._taking_in = threading.Lock()
        self._turn = threading.Lock()
        self._verified: dict[str, _Verified] = {}

    def summaries(self) -> list[answers.BundleSummary]:
        """Newest first; those that cannot be read last."""
        roots = (root for root in (self._root, self._imported) if root.is_dir())
        names = sorted({path.name for root in roots for path in root.iterdir()})
        found = [self.summary(name) for name in names if self._place(name)]
        return sorted(found, key=lambda item: item.finished_at or "", reverse=True)

    def summary(self, name: str) -> answers.BundleSummary:
        """Raises NotFound."""
        bundle = self.bundle(name)
        return answers.BundleSummary(**{key: getattr(bundle, key) for key in answers.BundleSummary.model_fields})

    def bundle(self, name: str) -> answers.Bundle:
        """Raises NotFound."""
        folder = self.folder(name)
        with self._turn:
            signature, trust = _signature(folder) + _signature(self._replays, RESULTS), self._trust()
            verified = self._verified.get(name)
            if verified is None or (verified.signature, verified.trust) != (signature, trust):
                bundle = reading.Bundle(folder, replace(self.known(name), trust=trust))
                verdict = verify(folder, known=bundle.known)
                told = _told(bundle, verdict)
                if self.is_imported(name):
                    told = _as_imported(told, name, folder.name)
                verified = self._verified[name] = _Verified(signature, trust, verdict, told)
            return verified.bundle

    def known(self, name: str) -> Known:
        """What this server found out about the bundle as it is now. Raises NotFound."""
        seal = _or_none(lambda: reading.Bundle(self.folder(name)).seal)
        return replay_job.known(self._replays, seal) if seal else Known()

    def folder(self, name: str) -> Path:
        """Raises NotFound."""
        if (place := self._place(name)) is None:
            raise NotFound(f"there is no bundle {name[:100]!r}")
        return place

    def is_imported(self, name: str) -> bool:
        return not _is_folder(self._root / name) and self._place(name) is not None

    def take_in(self, upload: IO[bytes], name: str) -> str:
        """What the bundle in a zip is called from now on: ``name``, or its own. Raises Conflict, Invalid."""
        with self._taking_in:
            try:
                place = archive.take_in(upload, self._imported, name).parent
            except NameTaken as error:
                raise Conflict(str(error)) from None
            except archive.Refused as error:
                where = "name" if name and error.entry == name and not NAME.fullmatch(name) else error.entry
                raise Invalid(f"the upload is refused: {error}", [Problem(where or "body", str(error))]) from None
            if (self._root / place.name).exists():
                shutil.rmtree(place)
                raise Conflict(f"there is a bundle named {place.name} already; choose another name")
            return place.name

    def remove(self, name: str) -> None:
        """Remove what was taken in. Raises NotFound, Conflict."""
        self.folder(name)
        if not self.is_imported(name):
            raise Conflict(f"{name} was sealed on this machine; only imported bundles can be removed here")
        with self._taking_in, self._turn:
            self._verified.pop(name, None)
            going = Path(tempfile.mkdtemp(prefix=".removing-", dir=self._imported))
            try:
                (self._imported / name).rename(going / name)
            except FileNotFoundError:
                raise NotFound(f"there is no bundle {name[:100]!r}") from None
            finally:
                shutil.rmtree(going, ignore_errors=True)

    def _place(self, name: str) -> Path | None:
        """The bundle's folder; one that was sealed here comes before an imported one of its name."""
        if not NAME.fullmatch(name):
            return None
        if _is_folder(self._root / name):
            return self._root / name
        if not _is_folder(self._imported / name):
            return None
        inside = [path for path in (self._imported / name).iterdir() if _is_folder(path)]
        return inside[0] if len(inside) == 1 else None


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _as_imported(told: answers.Bundle, name: str, own: str) -> answers.Bundle:
    commands = [
        f"unzip {name}.zip",
        f"python3 -m evidence verify {own}",
        f"(cd {own} && sha256sum --check {reading.SUMS})",
    ]
    return told.model_copy(update={"name": name, "origin": "imported", "verify_commands": commands})


def _signature(folder: Path, names: tuple[str, ...] = ()) -> Signature:
    """Changes whenever a file does (of those ``names``, if any are given): nobody but the kernel sets ctime."""
    entries = reading.Bundle(folder).entries if folder.is_dir() else {}
    return tuple(
        (name, facts.st_size, facts.st_ctime_ns, facts.st_ino)
        for name, facts in sorted(entries.items())
        if not names or name.endswith(names)
    )


def _told(bundle: reading.Bundle, verdict: Verdict) -> answers.Bundle:
    """The bundle as the page shows it. What cannot be read is null or empty; a check has the finding."""
    folder = bundle.path
    manifest = _or_none(lambda: bundle.manifest)
    facts = _or_none(lambda: bundle.told)
    summary = _or_none(lambda: bundle.summary)
    told = _or_none(lambda: report(bundle, verdict)) or Report(folder.name, _unreadable(folder.name), (), ())
    curve = _or_none(lambda: _curve(bundle)) or Columns(step=[], columns={name: [] for name in STEP_COLUMNS})
    losses = [value for value in curve.columns["loss"] if isinstance(value, float)]
    score = summary.evaluation if summary else None
    contents = [
        answers.BundleFile(path=name, sha256=bundle.sha256(name), bytes=bundle.entries[name].st_size)
        for name in bundle.files
    ]
    return answers.Bundle(
        name=folder.name,
        sentence=told.sentence,
        level=verdict.level,
        level_meaning=LEVEL_MEANING[verdict.level],
        valid=verdict.valid,
        outcome=facts.run.outcome.kind if facts else None,
        hardware=hardware(manifest) if manifest else None,
        model=f"{manifest.model.architecture}, {manifest.model.weights} weights" if manifest else None,
        parameters=manifest.model.parameters if manifest else None,
        steps=manifest.training.steps_completed if manifest else None,
        final_loss=summary.training_result.final_loss.value if summary else None,
        exact_match=score.metrics[0].value if isinstance(score, Performed) and score.metrics else None,
        finished_at=facts.run.finished_at if facts else None,
        run_id=facts.run.run_id if facts else None,
        spark=_spread(losses, SPARK_POINTS),
        files=len(contents),
        bytes=sum(item.bytes for item in contents),
        origin="here",
        signature=signature(bundle, verdict),
        claims=[answers.Claim(**asdict(claim)) for claim in told.claims],
        results=[
            answers.CheckResult(
                **{
                    **asdict(result),
                    "findings": [answers.Finding(**asdict(item), sentence=str(item)) for item in result.findings],
                }
            )
            for result in verdict.results
        ],
        gaps=list(verdict.gaps),
        limits=list(told.limits),
        contents=contents,
        curve=curve,
        log_excerpt=_or_none(lambda: _excerpt(bundle.log_lines)) or [],
        samples=_rows(bundle, reading.SAMPLES, Sample),
        predictions=_rows(bundle, reading.PREDICTIONS, Prediction),
        manifest=_object(bundle, reading.MANIFEST),
        eval_summary=_object(bundle, reading.SUMMARY),
        verify_commands=[
            f"python3 -m evidence verify submission_runs/{folder.name}",
            f"(cd submission_runs/{folder.name} && sha256sum --check {reading.SUMS})",
        ],
    )


def _unreadable(name: str) -> str:
    return f"{name} cannot be read as a bundle; the findings say what is wrong."


def _or_none(read: Callable[[], Value]) -> Value | None:
    try:
        return read()
    except MISSHAPEN:
        return None


def _curve(bundle: reading.Bundle) -> Columns:
    table = rows.Table()
    for row in bundle.rows:
        table.append(0, *rows.of_event(row))
    plain = zip(STEP_COLUMNS, map(rows.plain, table.values), strict=True)
    return Columns(step=table.steps.tolist(), columns=dict(plain))


def _excerpt(lines: list[str]) -> list[answers.LogLine]:
    """The log's lines that a reviewer looks for: start, devices, the first and last steps, the end."""
    steps = [number for number, line in enumerate(lines) if line.startswith(LOG_MARK) and '"kind":"step"' in line]
    wanted = {*steps[:EXCERPT_STEPS], *steps[-EXCERPT_STEPS:]}
    kinds = ('"kind":"run_start"', '"kind":"devices"', '"kind":"program"', '"kind":"evaluation"', '"kind":"finished"')
    for number, line in enumerate(lines):
        if line.startswith(LOG_MARK) and any(kind in line for kind in kinds):
            wanted.add(number)
    return [answers.LogLine(number=number + 1, text=lines[number]) for number in sorted(wanted)]


def _rows(bundle: reading.Bundle, name: str, model: type[Any]) -> list[Any]:
    """The rows of a file that have what is shown of them, as it is shown."""
    rows: Iterable[Any] = _or_none(lambda: bundle.lines(name)) or []
    names = model.model_fields
    complete = [row for row in rows if isinstance(row, dict) and names.keys() <= row.keys()]
    shown = (_as_model(model, {key: row[key] for key in names}) for row in complete)
    return [row for row in shown if row is not None]


def _as_model(model: type[BaseModel], values: dict[str, Any]) -> BaseModel | None:
    try:
        return model(**values)
    except ValidationError:
        return None


def _object(bundle: reading.Bundle, name: str) -> dict[str, Any] | None:
    found = _or_none(lambda: bundle.document(name))
    return found if isinstance(found, dict) else None


def _spread(values: list[float], count: int) -> list[float]:
    if len(values) <= count:
        return values
    return [values[index * (len(values) - 1) // (count - 1)] for index in range(count)]
