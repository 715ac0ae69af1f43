"""The parts of one running server, as the routes see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from backend.settings import Settings

if TYPE_CHECKING:
    from backend.bundles.library import Library
    from backend.jobs import Jobs
    from backend.preflights.library import Library as Preflights
    from backend.replays.library import Library as Replays
    from backend.runs.bell import Bell
    from backend.runs.follower import Follower
    from backend.runs.queue import Queue
    from backend.runs.store import Store
    from backend.runs.watchers import Watchers
    from backend.runs.witness import Witness
    from backend.trash.library import Library as Trash
    from backend.webhook import Webhook


@dataclass(frozen=True)
class Server:
    settings: Settings
    store: Store
    queue: Queue
    follower: Follower
    bell: Bell
    witness: Witness
    library: Library
    preflights: Preflights
    jobs: Jobs
    replays: Replays
    replay_jobs: Jobs
    watchers: Watchers
    webhook: Webhook
    trash: Trash


def _server(request: Request) -> Server:
    return request.app.state.server  # type: ignore[no-any-return]


Here = Annotated[Server, Depends(_server)]
