"""GET /stream: history and live in one read after a cursor, for any number of runs.

The bell says only that there may be more; what there is comes from the index. So a slow client, a lost connection and
a restarted server all resume at their cursor, and see every step exactly once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Annotated, Any

from anyio import BrokenResourceError
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.errors import NotFound, on_field
from backend.runs import reading
from backend.runs.answers import (
    Gone,
    Hello,
    LogBlock,
    Restart,
    RunSummary,
    StreamEvent,
)
from backend.server import Here, Server
from evidence import events, rundir

SUMMARY_SECONDS, LOG_SECONDS, QUIET_SECONDS = 0.25, 0.2, 5.0
PAUSE_SECONDS, REST, LONGEST_PAUSE_SECONDS = 0.002, 4, 0.1
"""Between two reads for one client: a little, and so many times what the read took. A row that comes alone is sent at
once, rows that come by thousands are sent in blocks, and many clients share the server."""

MOST_STEPS, MOST_EVENTS, LOG_BYTES, MOST_RUNS = 5_000, 1_000, 64 << 10, 100

router = APIRouter(tags=["runs"])


@dataclass(frozen=True)
class Place:
    """How far one run was sent: its steps and its other events, each up to a byte of events.jsonl, and its log up to
    a byte of output.log (-1: not begun). ``generation``: of events.jsonl, which may have been replaced since."""

    run: str
    steps: int = 0
    events: int = 0
    log: int = -1
    generation: int = 0

    def __str__(self) -> str:
        log = f":{self.log}" if self.log >= 0 else ""
        return f"{self.run}:{self.steps}:{self.events}{log}" + (f":g{self.generation}" if self.generation else "")


def cursor_text(places: Iterable[Place]) -> str:
    """The text of ``id:``; ``parse_cursor(cursor_text(p)) == p``."""
    return ",".join(map(str, places))


def parse_cursor(text: str) -> list[Place]:
    """Raises ValueError for text that no stream ever sent."""
    places = []
    for item in text.split(",") if text else []:
        run, *offsets = item.split(":")
        generation = offsets.pop()[1:] if offsets and offsets[-1].startswith("g") else "0"
        whole = all(offset.isascii() and offset.isdigit() and len(offset) < 16 for offset in [*offsets, generation])
        if not rundir.RUN_ID.fullmatch(run) or len(offsets) not in (2, 3) or not whole:
            raise ValueError(item)
        places.append(replace(Place(run, *map(int, offsets)), generation=int(generation)))
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
    listing: Annotated[bool, Query(alias="list", description="Summaries of all other runs too")] = False,
    log: Annotated[bool, Query(description="The followed runs' logs too")] = False,
    cursor: Annotated[str, Query(max_length=8000, description="As Last-Event-ID, for a new connection")] = "",
    last_event_id: Annotated[str, Header(max_length=8000)] = "",
) -> Wish:
    ids = [*dict.fromkeys(item for item in runs.split(",") if item)]
    if len(ids) > MOST_RUNS:
        raise on_field("runs", f"runs must name at most {MOST_RUNS} runs, got {len(ids)}")
    for run_id in ids:
        if not server.store.has(run_id):
            raise NotFound(f"there is no run {run_id}")
    try:
        known = {place.run: place for place in parse_cursor(last_event_id or cursor)}
    except ValueError as error:
        raise on_field("cursor", f"cursor must be what this stream sent as id, got {str(error)[:200]!r}") from None
    return Wish(tuple(known.get(run_id, Place(run_id)) for run_id in ids), listing, log)


@router.get("/stream", operation_id="stream", response_class=EventSourceResponse)
async def stream(server: Here, wish: Annotated[Wish, Depends(_wish)]) -> AsyncIterator[StreamEvent]:
    """Server-sent events: hello, gone, summary, metrics, events, log. ``id`` is the cursor to resume at."""
    client = _Client(server, wish)
    # The annotation puts the schemas into OpenAPI; what is yielded carries them serialized, with an id.
    yield _message("hello", Hello(server_time=events.now()))  # type: ignore[misc]
    with server.bell.listening() as rung:
        while True:
            began = monotonic()
            rung.clear()
            messages = await run_sync(client.read)
            rested = monotonic() + min(PAUSE_SECONDS + REST * (monotonic() - began), LONGEST_PAUSE_SECONDS)
            for message in messages:
                yield message  # type: ignore[misc]
            if client.behind:
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(rung.wait(), client.patience)
            await asyncio.sleep(max(0.0, rested - monotonic()))


class Unread:
    """ASGI layer: a client that goes away while it is being sent something is no error of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except* BrokenResourceError:
            pass


class _Client:
    """One connection: what was sent to it, and what it is sent next. ``behind``: there is more to read at once."""

    def __init__(self, server: Server, wish: Wish) -> None:
        self._store, self._root, self._wish = server.store, server.settings.runs, wish
        self._places = {place.run: place for place in wish.places}
        self._revision, self._departed = 0, len(server.store.departed)
        self._summaries: dict[str, RunSummary] = {}
        self._told: dict[str, float] = {}
        self._read: dict[str, tuple[int, int]] = {}
        self.behind = False

    @property
    def patience(self) -> float:
        """Seconds to wait for the bell. It does not ring for logs, nor for a summary that was held back."""
        if self._summaries:
            return SUMMARY_SECONDS
        return LOG_SECONDS if self._wish.log else QUIET_SECONDS

    def read(self) -> list[ServerSentEvent]:
        """Everything there is behind the cursor, a block of each at most.

        Summaries are looked up first and told last: whoever hears that a run has ended has heard all of it.
        """
        departed = len(self._store.departed)  # before the snapshot, so that all of them have left it
        with self._store.database.read():
            return self._read_on(departed)

    def _read_on(self, departed: int) -> list[ServerSentEvent]:
        self.behind = False
        messages = self._gone(departed)
        self._look_up_summaries()
        heads = self._store.heads(list(self._places)) if self._places else {}
        for run_id, head in heads.items():
            if head != self._read.get(run_id):
                behind, self.behind = self.behind, False
                messages += self._restart(run_id, head[0])
                messages += self._steps(run_id)
                messages += self._events(run_id)
                if not self.behind:
                    self._read[run_id] = head
                self.behind |= behind
            if self._wish.log:
                messages += self._log(run_id)
        return messages if self.behind else [*messages, *self._due_summaries()]

    def _look_up_summaries(self) -> None:
        only = None if self._wish.listing else list(self._places)
        if only != []:
            changed, latest = self._store.changed(self._revision, only)
            if latest < self._revision:  # the list was emptied, and the revisions begin anew
                changed, latest = self._store.changed(0, only)
            self._revision = latest
            self._summaries |= {summary.id: summary for summary in changed}

    def _gone(self, departed: int) -> list[ServerSentEvent]:
        """Of the runs that this client may show, those that are there no more."""
        new, self._departed = self._store.departed[self._departed : departed], departed
        if not self._wish.listing:
            new = [run_id for run_id in new if run_id in self._places]
        gone = self._store.gone(new) if new else []
        for run_id in gone:
            self._summaries.pop(run_id, None)
        return [_message("gone", Gone(run=run_id)) for run_id in gone]

    def _due_summaries(self) -> list[ServerSentEvent]:
        now = monotonic()
        due = [run_id for run_id in self._summaries if now - self._told.get(run_id, -1.0) >= SUMMARY_SECONDS]
        for run_id in due:
            self._told[run_id] = now
        return [_message("summary", self._summaries.pop(run_id)) for run_id in due]

    def _restart(self, run_id: str, generation: int) -> list[ServerSentEvent]:
        place = self._places[run_id]
        if place.generation == generation:
            return []
        begun = place.steps or place.events
        self._places[run_id] = replace(place, steps=0, events=0, generation=generation)
        return [_message("restart", Restart(run=run_id))] if begun else []

    def _steps(self, run_id: str) -> list[ServerSentEvent]:
        place = self._places[run_id]
        columns, end = self._store.steps_after(run_id, place.steps, MOST_STEPS)
        if not columns:
            return []
        self.behind |= len(columns["step"]) == MOST_STEPS
        return [self._move(replace(place, steps=end), "metrics", {"run": run_id, "columns": columns})]

    def _events(self, run_id: str) -> list[ServerSentEvent]:
        place = self._places[run_id]
        found, end = self._store.events_after(run_id, place.events, MOST_EVENTS)
        if not found:
            return []
        self.behind |= len(found) == MOST_EVENTS
        return [self._move(replace(place, events=end), "events", {"run": run_id, "events": found})]

    def _log(self, run_id: str) -> list[ServerSentEvent]:
        place, run = self._places[run_id], self._root / run_id
        if place.log < 0:
            piece = reading.log(run, reading.Part(tail_bytes=LOG_BYTES), fold=True)
        else:
            piece = reading.log(run, reading.Part(place.log, LOG_BYTES), fold=True)
            self.behind |= piece.next_offset > place.log and piece.next_offset < piece.size
        if piece.next_offset == max(place.log, 0):
            return []
        moved = replace(place, log=piece.next_offset)
        if not piece.text:
            self._places[run_id] = moved  # nothing but repeated events
            return []
        block = LogBlock(run=run_id, offset=piece.next_offset, text=piece.text)
        return [self._move(moved, "log", block.model_dump())]

    def _move(self, place: Place, event: str, data: dict[str, Any]) -> ServerSentEvent:
        self._places[place.run] = place
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        return ServerSentEvent(event=event, raw_data=text, id=cursor_text(self._places.values()))


def _message(event: str, data: BaseModel) -> ServerSentEvent:
    return ServerSentEvent(event=event, raw_data=data.model_dump_json())
