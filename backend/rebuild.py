"""Reading the run folders into a new index: ``assay rebuild``, while no server runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backend.database import Database
from backend.runs import ingest, tail, watchers
from backend.runs.follower import bundles_of, labels_of, status_of
from backend.runs.store import Store
from backend.settings import Settings
from evidence import canonical, rundir
from evidence.spec import SpecError


def rebuild(settings: Settings, say: Callable[[str], None]) -> int:
    """Make the index anew; returns how many runs are in it. Raises Unusable."""
    if not settings.database_url:
        Database(settings.database).close()  # nobody else works on it, and what is there can be let go of
        for path in settings.database.parent.glob(f"{settings.database.name}*"):
            if path.name.removeprefix(settings.database.name) in ("", "-wal", "-shm"):
                path.unlink()
    database = Database(settings.database, settings.database_url)
    store, count = Store(database), 0
    try:
        for standing in store.standings():
            with database.write() as connection:
                ingest.remove(connection, standing.id)
        for run in rundir.folders(settings.runs):
            try:
                _read(database, store, run)
            except (OSError, canonical.JsonError, SpecError) as error:
                say(f"{run.name} is left out: {error}")
                continue
            count += 1
    finally:
        database.close()
    return count


def _read(database: Database, store: Store, run: Path) -> None:
    ask = rundir.read_ask(run)
    with database.write() as connection:
        ingest.add(connection, ask, labels_of(run, ask))
    place = tail.Place()
    while (piece := tail.read_on(run / rundir.EVENTS, place)).place != place:
        place = piece.place
        with database.write() as connection:
            ingest.take(connection, run.name, piece)
    with database.write() as connection:
        alerts = [alert.model_dump() for alert in watchers.held(run)]
        turn = rundir.read_turn(run)
        ingest.set_status(connection, run.name, status_of(store, run), turn, bundles_of(run), alerts)
