"""Who may ask, and from where: one ASGI layer around everything else.

On the loopback address nobody needs a token, so two doors must be shut that a browser would open for any web page: a
foreign name that resolves to this machine (DNS rebinding: the Host header), and a form or script of another site (the
Origin header). Beyond loopback a token is needed, as a bearer token or as the cookie that ``?token=`` sets once.
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.problems import problem
from backend.settings import Settings

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
COOKIE = "assay_token"
OPEN_PATHS = ("/health",)
OWN_PAGES = "requests that change something must come from this server's own pages"
NO_TOKEN = "this server needs its token: open the address it printed at its start, or send it as a bearer token"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._names = {"localhost", "127.0.0.1", "[::1]", settings.host} if settings.loopback else set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        headers = Headers(scope=scope)
        if refusal := self._refusal(scope, headers):
            await problem(*refusal)(scope, receive, send)
        elif location := self._cookie_visit(scope):
            await _set_cookie(send, location, self._settings.token)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._names and _name(host) not in self._names:
            return 403, f"this server answers to {', '.join(sorted(self._names))}, not to the host {host[:100]!r}"
        if scope["method"] not in SAFE_METHODS:
            origin = headers.get("origin")
            if origin is not None and _netloc(origin) != host:
                return 403, f"{OWN_PAGES}, not from {origin[:100]!r}"
            if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return 403, OWN_PAGES
        if self._settings.token and scope["path"] not in OPEN_PATHS and not self._admitted(scope, headers):
            return 401, NO_TOKEN
        return None

    def _admitted(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        offered = [bearer] if scheme.lower() == "bearer" else []
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
            offered += [cookies[COOKIE].value] if COOKIE in cookies else []
        except CookieError:
            pass
        if scope["method"] in SAFE_METHODS:
            offered += [value for key, value in parse_qsl(scope["query_string"].decode("latin-1")) if key == "token"]
        expected = self._settings.token.encode()
        return any(hmac.compare_digest(item.encode("utf-8", "replace"), expected) for item in offered)

    def _cookie_visit(self, scope: Scope) -> str:
        """Where to go on without the token in the address; empty when it is not there."""
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if not self._settings.token or scope["method"] != "GET" or not any(key == "token" for key, _ in pairs):
            return ""
        rest = urlencode([(key, value) for key, value in pairs if key != "token"])
        path = "/" + str(scope["path"]).lstrip("/")
        return path + (f"?{rest}" if rest else "")


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent


async def _set_cookie(send: Send, location: str, token: str) -> None:
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000"
    headers = [
        (b"location", quote(location, safe="/?&=%+").encode()),
        (b"set-cookie", cookie.encode()),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _netloc(origin: str) -> str:
    """Host and port of an origin; "" of one that is none ("null", or no address)."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name(host: str) -> str:
    """The host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
