"""The preflights on disk, as the routes show them."""

from __future__ import annotations

from pathlib import Path

from backend.errors import NotFound
from backend.preflights.answers import Preflight, PreflightRequest, Preflights, PreflightSummary, TopologyChoice
from backend.runs import admission
from backend.settings import Settings
from evidence import job_folder, preflight, preflight_folder
from evidence.hardware import TOPOLOGIES
from evidence.job_folder import DONE, QUEUED, Standing
from evidence.preflight import Refused, Report, Request
from evidence.preflight_comparison import limit_bytes, peak_bytes
from evidence.preflight_folder import Unreadable
from evidence.spec import resolve


def asked(settings: Settings, request: PreflightRequest) -> Request:
    """What the job is to compile. Raises Invalid or SpecError; data and weights need not be there."""
    document, _, source = admission.declared(settings, request.config, request.spec)
    preflight_folder.topology(request.topology)
    spec, _ = resolve(document, request.overrides)
    return Request(source, request.topology, spec.as_dict(), request.search, request.largest)


class Library:
    """The preflights below ``root``. A report never changes, so each is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._reports: dict[str, Report] = {}

    def find(self, id: str) -> Path:
        """The folder of a preflight. Raises NotFound."""
        folder = self.root / id
        if not job_folder.JOB_ID.fullmatch(id) or not (folder / job_folder.REQUEST).is_file():
            raise NotFound(f"there is no preflight {id[:80]}")
        return folder

    def page(self, limit: int) -> Preflights:
        """The newest ``limit`` preflights, newest first."""
        folders = job_folder.folders(self.root)
        shown = [summary for folder in folders[: -limit - 1 : -1] if (summary := self._summary(folder))]
        choices = [
            TopologyChoice(
                name=item.name,
                device_kind=item.device_kind,
                devices=item.devices,
                memory_bytes=item.tpu.memory_bytes,
            )
            for item in TOPOLOGIES.values()
        ]
        return Preflights(preflights=shown, total=len(folders), topologies=choices)

    def whole(self, folder: Path, cached: bool = False) -> Preflight:
        """Raises NotFound for a folder that cannot be read, or has just gone."""
        summary = self._summary(folder)
        if summary is None:
            raise NotFound(f"there is no preflight {folder.name} that this version can read")
        request, report = preflight_folder.read_request(folder), self._report(folder)
        return Preflight(**dict(summary), spec=request.spec, report=report, cached=cached)

    def equal(self, asked: Request) -> Path | None:
        """One that answers ``asked``, or is about to."""
        return preflight_folder.equal(self.root, asked)

    def of_report(self, report: Report) -> str | None:
        """The id of the preflight that wrote ``report``, while it is there."""
        for folder in reversed(job_folder.folders(self.root)):
            if (found := self._report(folder)) and found == report:
                return folder.name
        return None

    def _summary(self, folder: Path) -> PreflightSummary | None:
        try:
            request = preflight_folder.read_request(folder)
            name, training = str(request.spec["name"]), request.spec["training"]
            batch_size, sequence_length = int(training["batch_size"]), int(training["sequence_length"])
        except (Unreadable, LookupError, TypeError, ValueError):
            return None
        standing, report = preflight_folder.KIND.standing(folder), self._report(folder)
        if standing.state == DONE and report is None:
            standing = Standing("failed", "Its report is not of this version; ask again.", standing.started_at)
        chosen = report.plans[report.chosen] if report else None
        told = chosen if chosen and not isinstance(chosen, Refused) else None
        return PreflightSummary(
            id=folder.name,
            state=standing.state,  # type: ignore[arg-type]  # checked by pydantic
            reason=standing.reason,
            name=name,
            config=request.config,
            topology=request.topology,
            search=request.search,
            largest=request.largest,
            batch_size=batch_size,
            sequence_length=sequence_length,
            created_at=job_folder.created_at(folder),
            started_at=standing.started_at or None,
            ended_at=standing.ended_at or None,
            queue_position=preflight_folder.KIND.place(folder) if standing.state == QUEUED else None,
            progress=job_folder.progress(folder),
            fits=report.fits if report else None,
            verdict=report.verdict if report else None,
            peak_bytes=peak_bytes(told) or None if told else None,
            limit_bytes=limit_bytes(told) if told else None,
        )

    def _report(self, folder: Path) -> Report | None:
        if folder.name not in self._reports:
            try:
                report = preflight_folder.read_report(folder / preflight.REPORT)
            except Unreadable:
                return None
            if not report.plans or report.chosen >= len(report.plans):
                return None
            self._reports[folder.name] = report
        return self._reports[folder.name]
