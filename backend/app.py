"""The application: its parts made, started and stopped in one place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from backend import demo, errors, health, heap, schemas
from backend.bodies import Bounded
from backend.bundles import routes as bundles
from backend.bundles.library import Library
from backend.configs import routes as configs
from backend.database import Database
from backend.jobs import Jobs
from backend.launchers import local
from backend.launchers.kaggle.launch import launch as launch_at_kaggle
from backend.preflights import routes as preflights
from backend.preflights.library import Library as Preflights
from backend.replays import routes as replays
from backend.replays.library import Library as Replays
from backend.runs import routes as runs
from backend.runs import stream
from backend.runs.answers import Alert
from backend.runs.bell import Bell
from backend.runs.follower import Follower
from backend.runs.queue import Queue
from backend.runs.store import Store
from backend.runs.watchers import Watchers
from backend.runs.witness import Witness
from backend.server import Server
from backend.settings import Settings
from backend.trash import routes as trash
from backend.trash.library import Library as Trash
from backend.webhook import Webhook
from evidence import __version__, preflight_folder, replay_job, rundir, trust

SETTLED_SECONDS = 0.5

log = logging.getLogger("assay")


def create_app(settings: Settings, database: Database | None = None) -> FastAPI:
    """The server over ``settings.home``. It is opened when the app starts, unless ``database`` is open already."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        server = _server(settings, database or Database(settings.database, settings.database_url))
        app.state.server = server
        server.trash.sweep()
        server.follower.start()
        server.witness.start()
        server.webhook.start()
        server.watchers.start()
        server.jobs.start()
        server.replay_jobs.start()
        demo.launch_first(server)
        asyncio.get_running_loop().call_later(SETTLED_SECONDS, heap.give_back)
        try:
            yield
        finally:
            server.replay_jobs.stop()
            server.jobs.stop()
            server.watchers.stop()
            server.webhook.stop()
            server.follower.stop()
            server.witness.stop()
            server.store.database.close()

    app = FastAPI(
        title="Assay", version=__version__, lifespan=life, responses=errors.ANSWERS, docs_url=None, redoc_url=None
    )
    errors.install(app)
    for part in (runs, trash, stream, configs, preflights, bundles, replays, schemas, health):
        app.include_router(part.router)
    app.openapi = cache(partial(_openapi, app.openapi))  # type: ignore[method-assign]
    app.add_middleware(stream.Unread)
    app.add_middleware(Bounded)
    return app


def _server(settings: Settings, database: Database) -> Server:
    store, bell = Store(database), Bell()

    def launch(run: Path) -> None:
        if rundir.read_ask(run).launcher == "kaggle":
            launch_at_kaggle(run)
        else:
            local.launch(run, settings.trainer_command)

    queue = Queue(settings.runs, store, launch, local.request_stop, local.request_kill)
    witness = Witness(settings.runs, settings.home)
    follower = Follower(settings.runs, database, store, queue, bell, witness)
    library = Library(settings.submissions, settings.imported, settings.replays, partial(_trust, settings))
    webhook = Webhook(settings.webhook, private=settings.webhook_private)

    def tell(run: str, alert: Alert) -> None:
        webhook.send({"run": run, "name": store.summary(run).name, **alert.model_dump()})

    return Server(
        settings,
        store,
        queue,
        follower,
        bell,
        witness,
        library,
        Preflights(settings.preflights),
        Jobs(preflight_folder.KIND, settings.preflights, settings.preflight_command),
        Replays(settings.replays, library),
        Jobs(replay_job.KIND, settings.replays, settings.replay_command),
        Watchers(settings.runs, store, settings.watch, tell, follower.refresh),
        webhook,
        Trash(settings.trash, settings.runs, store, follower),
    )


def _trust(settings: Settings) -> trust.Trust:
    """Whose signatures this server believes. A broken file of keys is said, and nobody is believed."""
    try:
        return trust.known(settings.home, trust.PINNED)
    except trust.TrustError as error:
        log.warning("no signature can be checked: %s", error)
        return trust.Trust()


def _openapi(plain: Any) -> dict[str, Any]:
    document: dict[str, Any] = plain()
    document["components"]["schemas"].update(errors.schemas())
    return document
