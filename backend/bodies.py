"""How much a request may bring: one ASGI layer around the application."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.problems import problem
from evidence.archive import LARGEST_ARCHIVE_BYTES

LARGEST_BODY_BYTES = 1 << 20
LARGER_BODIES = {("POST", "/evidence"): LARGEST_ARCHIVE_BYTES}


class Bounded:
    """ASGI layer: ``app`` is asked unless the body is too large, declared or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = LARGER_BODIES.get((scope["method"], scope["path"]), LARGEST_BODY_BYTES)
        refusal = problem(413, f"a request may have at most {most:,} bytes")
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or len(declared) > 15 or int(declared) > most:
            await refusal(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return message if seen <= most else {"type": "http.disconnect"}

        async def replaced(message: Message) -> None:
            """Whatever the application makes of a body that broke off, the answer is the refusal."""
            if seen <= most:
                await send(message)
            elif message["type"] == "http.response.start":
                await refusal(scope, receive, send)

        await self._app(scope, counted, replaced)
