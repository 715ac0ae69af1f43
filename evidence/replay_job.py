"""``python -m evidence.replay_job FOLDER``: read a bundle again, and train a segment of it again, as a job.

``replays/<id>/`` is the folder of a job (evidence/job_folder.py) that is asked with a Request, leaves ``audit.json`` on
the way (where one can be made), and ``result.json``, a Replay, last. It never runs a bundle's own source.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from evidence import audit, canonical, deeper, job_folder, replaying, rundir, typed
from evidence.audit import Audit
from evidence.job_folder import Progress
from evidence.known import Known
from evidence.reading import Bundle, Unreadable
from evidence.replay import Replay
from evidence.typed import Sha256, Text

NOT_YET = "not done on this server yet; a replay of this bundle does it"
AUDIT, RESULT, NO_AUDIT = "audit.json", "result.json", "no_audit.json"
KIND: Final = job_folder.Kind("replay", RESULT, "no result", signal.SIGTERM)
"""Stopped, not killed: what it started has a session of its own, and is killed by it."""


@dataclass(frozen=True)
class Request:
    """``name`` of the bundle in the folder ``path``. ``to_step`` 0: the segment is drawn by ``nonce``."""

    name: Text
    path: Text
    seal: Sha256
    nonce: Text
    from_step: int = 0
    to_step: int = 0

    @property
    def ask(self) -> replaying.Ask:
        return replaying.Ask(self.from_step, self.to_step, self.nonce)


def run(folder: Path) -> int:
    """Exit code 0: there is a result, whatever it says. 1: there is none, and error.json says why."""
    try:
        request = read_request(folder)
        path = Path(request.path)
        if not path.is_dir() or Bundle(path).seal != request.seal:
            raise replaying.CannotReplay(f"the bundle {request.name} has changed since this replay was asked for")
        _audit(folder, path)

        def told(item: Progress) -> None:
            print(f"{item.done}/{item.total} {item.doing}", flush=True)

        job_folder.say(folder, 0, 0, "starting the replay")
        made = replaying.make(
            path, request.ask, told=told, progress=folder / job_folder.PROGRESS, log=folder / "replay.log"
        )
    except (deeper.Impossible, replaying.CannotReplay, Unreadable, OSError, ValueError) as error:
        message = " ".join(str(error).split())
        job_folder.fail(folder, message, getattr(error, "field", ""))
        print(f"error: {message}", file=sys.stderr)
        return 1
    rundir.write_document(folder / RESULT, typed.write(made))
    return 0


def read_request(folder: Path) -> Request:
    """Raises ValueError, OSError."""
    return _read(Request, folder / job_folder.REQUEST)  # type: ignore[no-any-return]


def known(root: Path, seal: str) -> Known:
    """What the jobs below ``root`` found out about the bundle of this seal: the newest audit, the newest replay."""
    found: dict[type, Any] = {}
    because = ""
    for folder in reversed(job_folder.folders(root)):
        try:
            if read_request(folder).seal != seal:
                continue
        except (ValueError, OSError):
            continue
        for cls, name in ((Audit, AUDIT), (Replay, RESULT)):
            if cls not in found and (folder / name).is_file():
                try:
                    document = _read(cls, folder / name)
                except (ValueError, OSError):
                    continue  # of another version: as if it had never been made
                if document.seal == seal:
                    found[cls] = document
        because = because or str(job_folder.document(folder / NO_AUDIT).get("message", ""))
        if len(found) == 2:
            break
    because = because or deeper.missing() or NOT_YET
    return Known(audit=found.get(Audit), no_audit=because, replay=found.get(Replay), no_replay=NOT_YET)


def _audit(folder: Path, bundle: Path) -> None:
    """A replay needs none, so what stands in its way is written down, and is no failure."""
    job_folder.say(folder, 0, 0, "reading arrays, tokens and program again")
    try:
        rundir.write_document(folder / AUDIT, typed.write(audit.make(bundle)))
    except deeper.Impossible as error:
        rundir.write_document(folder / NO_AUDIT, {"message": f"no audit could be made: {error}"})


def _read(cls: type, path: Path) -> Any:
    return typed.read(cls, canonical.read(path))


def _stopped(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)  # so that what waits for a process of its own kills it


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stopped)
    sys.exit(run(Path(sys.argv[1])))
