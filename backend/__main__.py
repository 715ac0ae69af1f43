"""``python -m backend``: the server. What keeps it from starting is said in one line, with exit code 2."""

from __future__ import annotations

import errno
import gc
import logging
import secrets
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from backend import heap
from backend import settings as configuration
from backend.settings import Settings, SettingsError

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger("assay")

STOP_SECONDS = 2
"""Open streams never end by themselves."""

SEND_BYTES = 256 << 10
"""What the kernel holds for a client that does not read. One that takes nothing for ``settings.client_seconds`` is
dropped, by the kernel; its place in the stream is its own, so it loses nothing when it comes back."""


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        return serve(configuration.read())
    except SettingsError as error:
        return _refuse(str(error))


def serve(settings: Settings) -> int:
    """Serve until a signal says stop; returns the exit code."""
    try:
        listener = _listen(settings)
    except SettingsError as error:
        return _refuse(str(error))
    if not settings.loopback and not settings.token:
        settings = replace(settings, token=secrets.token_urlsafe(24))
    gc.disable()  # what is imported here stays: looking for garbage in it costs a tenth of the start
    heap.share()
    import uvicorn

    from backend.front import Opening, front

    code = 1

    def opened() -> None:
        nonlocal code
        code = 0
        key = f"/?token={settings.token}" if settings.token else ""
        print(f"Assay is at {settings.url}{key}", flush=True)
        gc.freeze()
        gc.enable()

    def failed(error: Exception) -> None:
        nonlocal code
        from backend.database import Unusable

        server.should_exit = True
        if isinstance(error, Unusable):
            code = _refuse(str(error))
        else:
            log.error("the server could not start", exc_info=error)

    config = uvicorn.Config(
        front(settings, Opening(lambda: _application(settings), opened, failed)),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
        lifespan="on",
        loop="asyncio",
        ws="none",
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    return code


def _application(settings: Settings) -> FastAPI:
    """The application over its open index. Raises Unusable."""
    from backend.app import create_app
    from backend.database import Database, warn_of_old_library

    if not settings.database_url:
        warn_of_old_library()
    return create_app(settings, Database(settings.database, settings.database_url))


def _listen(settings: Settings) -> socket.socket:
    """A socket on the address; bound before anything else is opened, so that a taken port costs nothing."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        # An answer is two writes: without this the second waits for a client that delays its acknowledgement, 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, settings.client_seconds * 1000)
        listener.bind((settings.host, settings.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"port {settings.port} is taken; choose another with ASSAY_PORT") from None
        reason = error.strerror or str(error)
        raise SettingsError(f"cannot listen on {settings.host}:{settings.port}: {reason}; see ASSAY_HOST") from None
    return listener


def _refuse(reason: str) -> int:
    print(f"Error: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
