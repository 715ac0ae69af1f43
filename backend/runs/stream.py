"""GET /stream: history and live in one read after a cursor, for any number of runs.

The bell says only that there may be more; what there is comes from the index. So a slow client, a lost connection and
a restarted server all resume at their cursor, and see every step exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from backend.errors import NotFound, on_field
from backend.runs import reading
from backend.runs.answers import Hello, LogBlock, StreamEvent
from backend.server import Here, Server
from evidence import events, rundir

ROUND_SECONDS = 0.1
SUMMARY_SECONDS = 0.25
LOG_HISTORY_BYTES = 64 << 10
MOST_RUNS = 100

router = APIRouter(tags=["runs"])


@dataclass(frozen=True)
class Place:
    """How far one run was sent: bytes of events.jsonl, and of output.log (None: not begun)."""

    run: str
    events: int = 0
    log: int | None = None

    def __str__(self) -> str:
        return f"{self.run}:{self.events}" + (f":{self.log}" if self.log is not None else "")


def cursor(places: list[Place]) -> str:
    """The text of ``id:``; ``parse(cursor(p)) == p``."""
    return ",".join(map(str, places))


def parse(text: str) -> list[Place]:
    """Raises ValueError for text that no stream ever sent."""
    places = []
    for item in text.split(",") if text else []:
        run, *offsets = item.split(":")
        if not rundir.RUN_ID.fullmatch(run) or not 1 <= len(offsets) <= 2 or not all(
            offset.isascii() and offset.isdigit() and len(offset) < 16 for offset in offsets
        ):
            raise ValueError(item)
        places.append(Place(run, *map(int, offsets)))
    return places


@dataclass(frozen=True)
class Wish:
    """What one client follows."""

    places: tuple[Place, ...]
    listing: bool
    log: bool


def _wish(
    server: Here,
    runs: Annotated[str, Query(max_length=4000, description="Ids of the runs to follow, comma-separated")] = "",
    list: Annotated[bool, Query(description="Summaries of all other runs too")] = False,
    log: Annotated[bool, Query(description="The followed runs' logs too")] = False,
    cursor: Annotated[str, Query(max_length=8000, description="As Last-Event-ID, for a new connection")] = "",
    last_event_id: Annotated[str, Header(max_length=8000)] = "",
) -> Wish:
    ids = [*dict.fromkeys(item for item in runs.split(",") if item)]
    if len(ids) > MOST_RUNS:
        raise on_field("runs", f"runs must name at most {MOST_RUNS} runs, got {len(ids)}")
    for id in ids:
        if not server.store.has(id):
            raise NotFound(f"there is no run {id}")
    try:
        known = {place.run: place for place in parse(last_event_id or cursor)}
    except ValueError as error:
        raise on_field("cursor", f"cursor must be what this stream sent as id, got {str(error)!r}") from None
    return Wish(tuple(known.get(id, Place(id)) for id in ids), list, log)


@router.get("/stream", operation_id="stream", response_class=EventSourceResponse)
async def stream(server: Here, wish: Annotated[Wish, Depends(_wish)]) -> AsyncIterator[StreamEvent]:
    """Server-sent events: hello, summary, metrics, events, log. ``id`` is the cursor to resume at."""
    return
    yield
