"""What stands before the application. Nothing here needs the rest of the server, so the page is served from the first
moment on, while a second's worth of FastAPI, SQLAlchemy and routes is still being imported."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from backend.head import Head
from backend.page import Page
from backend.problems import problem
from backend.security import Guard
from backend.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI


OUT_OF_HANDLES_SECONDS = 0.5

log = logging.getLogger("assay")


def front(settings: Settings, app: ASGIApp) -> ASGIApp:
    """``app`` as the network sees it: guarded, with HEAD, and with the page at its addresses."""
    return Guard(Head(Page(app, settings.page)), settings)


class Opening:
    """ASGI application: requests wait until ``make`` has made the real one, in a thread, and it has started.

    ``opened`` hears that it has. ``failed`` hears why it has not; who waited is told that the server ends.
    """

    def __init__(
        self, make: Callable[[], FastAPI], opened: Callable[[], None], failed: Callable[[Exception], None]
    ) -> None:
        self._make, self._opened, self._failed = make, opened, failed
        self._closing = asyncio.Event()
        self._app: asyncio.Future[FastAPI | None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif app := await asyncio.shield(self._app):
            await app(scope, receive, send)
        else:
            await problem(503, "the server could not start; it says why where it was started")(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._app = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(self._serve())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._closing.set()
        await serving
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self) -> None:
        try:
            while not (app := await self._made()):
                await asyncio.sleep(OUT_OF_HANDLES_SECONDS)
            if self._closing.is_set():
                return
            async with app.router.lifespan_context(app):
                self._app.set_result(app)
                self._opened()
                await self._closing.wait()
        except Exception as error:
            if self._app.done():
                raise
            self._app.set_result(None)
            self._failed(error)

    async def _made(self) -> FastAPI | None:
        """The application; None where connections left no file handle to import a module by."""
        try:
            return await asyncio.to_thread(self._make)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or self._closing.is_set():
                raise
            log.warning("no file handle is left to start with; trying again (see ulimit -n)")
            return None
