"""The replays on disk, as the routes show them."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

from backend.bundles.library import Library as Bundles
from backend.errors import Conflict, NotFound, on_field
from backend.replays.answers import Answers, Compared, ReplayJob, ReplayJobs, ReplayRequest, ReplayResult
from evidence import job_folder, replay_job, replay_text, replaying
from evidence.job_folder import DONE, QUEUED, Standing
from evidence.known import Known
from evidence.reading import MISSHAPEN, Bundle, Unreadable
from evidence.replay import Replay
from evidence.replay_job import KIND, Request
from evidence.typed import PLACEHOLDER


class Library:
    """The replays below ``root`` of the bundles in ``bundles``. A result never changes, so each is read once."""

    def __init__(self, root: Path, bundles: Bundles) -> None:
        self._root, self._bundles = root, bundles
        self._results: dict[str, Replay] = {}

    def asked(self, name: str, request: ReplayRequest) -> Request:
        """What the job is to do. Raises NotFound, Invalid, Conflict."""
        folder = self._bundles.folder(name)
        if (request.from_step is None) != (request.to_step is None):
            missing = "from_step" if request.from_step is None else "to_step"
            raise on_field(missing, f"{missing} is missing; a segment is named by both its ends")
        if request.to_step is not None and request.draw:
            raise on_field("draw", "a segment is named by its two ends, or drawn; give one of them")
        if request.draw != request.draw.strip() or not request.draw.isprintable() or PLACEHOLDER.search(request.draw):
            raise on_field("draw", "draw must be printable text without space around it, and no placeholder")
        nonce = request.draw or secrets.token_hex(16)
        ask = replaying.Ask(request.from_step or 0, request.to_step or 0, nonce)
        bundle = Bundle(folder)
        try:
            replaying.prepare(bundle, ask)
            seal = bundle.seal
        except replaying.CannotReplay as error:
            if error.field:
                raise on_field(error.field, str(error)) from None
            raise Conflict(f"{name} cannot be replayed: {error}") from None
        except MISSHAPEN as error:
            raise Conflict(f"{name} cannot be replayed: it is broken: {error}") from None
        return Request(name, str(folder.resolve()), seal, nonce, ask.from_step, ask.to_step)

    def find(self, id: str) -> Path:
        """The folder of a replay. Raises NotFound."""
        folder = self._root / id
        if not job_folder.JOB_ID.fullmatch(id) or not (folder / job_folder.REQUEST).is_file():
            raise NotFound(f"there is no replay {id[:80]}")
        return folder

    def of_bundle(self, name: str) -> ReplayJobs:
        """Newest first. Raises NotFound."""
        self._bundles.folder(name)
        found = [self._job(folder) for folder in reversed(job_folder.folders(self._root))]
        return ReplayJobs(replays=[item for item in found if item and item.bundle == name])

    def job(self, folder: Path) -> ReplayJob:
        """Raises NotFound for a folder that cannot be read."""
        found = self._job(folder)
        if found is None:
            raise NotFound(f"there is no replay {folder.name} that this version can read")
        return found

    def _job(self, folder: Path) -> ReplayJob | None:
        try:
            request = replay_job.read_request(folder)
        except (ValueError, OSError):
            return None
        bundle, standing = self._bundle(request), KIND.standing(folder)
        made = self._result(folder)
        if standing.state == DONE and made is None:
            standing = Standing("failed", "Its result is not of this version; ask again.", standing.started_at)
        return ReplayJob(
            id=folder.name,
            bundle=request.name,
            seal=request.seal,
            current=bundle is not None,
            state=standing.state,  # type: ignore[arg-type]  # checked by pydantic
            message=standing.reason,
            from_step=request.from_step if request.to_step else None,
            to_step=request.to_step or None,
            draw="" if request.to_step else request.nonce,
            progress=job_folder.progress(folder),
            queue_position=KIND.place(folder) if standing.state == QUEUED else None,
            asked_at=job_folder.created_at(folder),
            started_at=standing.started_at or None,
            ended_at=standing.ended_at or None,
            result=_told(bundle, made) if bundle and made else None,
        )

    def _bundle(self, request: Request) -> Bundle | None:
        """The bundle, while it has the seal that was asked about."""
        try:
            bundle = Bundle(self._bundles.folder(request.name))
            return bundle if bundle.seal == request.seal else None
        except (NotFound, Unreadable, OSError):
            return None

    def _result(self, folder: Path) -> Replay | None:
        if folder.name not in self._results:
            try:
                self._results[folder.name] = replaying.read(folder / replay_job.RESULT)
            except (ValueError, OSError):
                return None
        return self._results[folder.name]


def _told(bundle: Bundle, made: Replay) -> ReplayResult | None:
    bundle.known = replace(Known(), replay=made)
    try:
        told = replay_text.tell(bundle, made)
    except MISSHAPEN:
        return None  # the seal's own checks say what is wrong with the bundle
    here = made.measured.here
    return ReplayResult(
        sentence=told.sentence,
        agrees=told.agrees,
        bit_equal=told.bit_equal,
        from_step=made.segment.from_step,
        to_step=made.segment.to_step,
        chosen=made.chosen.kind,
        nonce=made.chosen.nonce,
        tier=made.tier,
        tier_meaning=told.tier_meaning,
        tier_because=made.tier_because,
        device=f"{here.devices} × {here.device_kind}, {here.cpu_model}",
        compared=[
            Compared(
                what=item.what,
                found=item.found,
                cap=item.cap,
                where=item.where,
                within=item.within,
                control=control.found,
            )
            for item, control in zip(told.compared, told.control, strict=False)
        ],
        control_factor=made.measured.control.factor,
        control_noticed=told.noticed,
        samples=Answers(**vars(told.samples)),
        predictions=Answers(**vars(told.predictions)),
        seconds=made.measured.seconds,
        made_at=made.made_at,
    )
