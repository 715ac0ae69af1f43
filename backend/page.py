"""The built page, served at the addresses of the API: a browser asks for HTML, everybody else gets JSON."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NEVER_A_PAGE = ("/openapi.json", "/stream", "/health")
"""The page at another address would only hide these."""

FOREVER = "public, max-age=31536000, immutable"
NOT_BUILT = (
    "<!doctype html><html lang=en><title>Assay</title><p>The page is not built yet: run <code>make setup</code>, "
    "then reload. Every address also answers JSON."
)


class Page:
    """ASGI layer: HTML and the page's files from ``folder``, everything else from ``app``."""

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self._app, self._folder = app, folder
        self._static = GZipMiddleware(self._serve, minimum_size=1000, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] == "GET" and (self._file(scope["path"]) or self._wants_page(scope)):
            await self._static(scope, receive, send)
        elif scope["path"] == "/" and scope["method"] == "GET":
            await RedirectResponse("/runs", 307, {"Vary": "Accept"})(scope, receive, send)
        else:
            await self._app(scope, receive, _varying(send))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        headers = {"Cache-Control": "no-cache", "Vary": "Accept"}
        try:
            if file := self._file(scope["path"]):
                kept = {"Cache-Control": FOREVER if scope["path"].startswith("/assets/") else "no-cache"}
                return Response(file.read_bytes(), headers=kept, media_type=mimetypes.guess_type(file)[0])
            return HTMLResponse((self._folder / "index.html").read_bytes(), 200, headers)
        except OSError:  # there is none, or it is being built anew
            return HTMLResponse(NOT_BUILT, 503, headers)

    def _file(self, path: str) -> Path | None:
        """The built file at ``path``; index.html only by way of a page's address."""
        if "\0" in path or path in ("/", "/index.html"):
            return None
        try:
            place = (self._folder / path.lstrip("/")).resolve()
            return place if place.is_relative_to(self._folder.resolve()) and place.is_file() else None
        except OSError:
            return None

    def _wants_page(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path in NEVER_A_PAGE or path.startswith("/assets/") or path.endswith((".csv", ".zip")):
            return False
        if path.startswith("/evidence/") and "/files/" in path:
            return False
        if path.startswith("/preflights/") and path.endswith("/report.json"):
            return False
        return _prefers_html(Headers(scope=scope).get("accept", ""))


def _prefers_html(accept: str) -> bool:
    """Whether HTML is named, and at least as welcome as JSON."""
    weights: dict[str, float] = {}
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        weights[kind] = weight
    return weights.get("text/html", 0.0) > 0 and weights["text/html"] >= weights.get("application/json", 0.0)


def _varying(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).add_vary_header("Accept")
        await send(message)

    return sent
