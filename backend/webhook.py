"""POST to an address that the owner of this server chose, without becoming somebody's way into its network.

Only http and https; only to a public address, unless told otherwise, and to the very address that was looked at, so
that a second look-up cannot bring another one; redirects are not followed; five seconds in all. It is sent by a thread
of its own: whoever tells never waits.
"""

from __future__ import annotations

import http.client
import json
import logging
import queue
import socket
import ssl
import threading
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

SECONDS = 5.0
WAITING = 100
"""Messages that wait at most; more are dropped, and said so in the log."""

NAT64 = IPv6Network("64:ff9b::/96")

log = logging.getLogger("assay")


class Refused(ValueError):
    """An address that is not posted to; ``str()`` says why."""


class Webhook:
    """``address`` is http(s), or "" for nobody. ``private``: it may lie in this machine's own network."""

    def __init__(self, address: str, *, private: bool = False) -> None:
        self._address, self._private = address, private
        self._messages: queue.Queue[dict[str, Any] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name="webhook", daemon=True)

    def start(self) -> None:
        if self._address:
            self._thread.start()

    def stop(self) -> None:
        """End it; what has not been sent in a second is not."""
        if self._thread.ident is not None:
            self._put(None)
            self._thread.join(1.0)

    def send(self, message: dict[str, Any]) -> None:
        """Have ``message`` posted as JSON; returns at once."""
        if self._address:
            self._put(message)

    def _put(self, message: dict[str, Any] | None) -> None:
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            log.warning("the webhook does not keep up; a message to it was dropped")

    def _work(self) -> None:
        while (message := self._messages.get()) is not None:
            try:
                status = post(self._address, message, private=self._private)
                if not 200 <= status < 300:
                    log.warning("the webhook answered %d; redirects are not followed", status)
            except (OSError, Refused, http.client.HTTPException) as error:
                log.warning("the webhook was not reached: %s", error)


def checked(address: str) -> SplitResult:
    """The parts of an address that may be posted to, as far as its text tells. Raises Refused."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise Refused(f"it is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Refused("it must be an http or https address with a host")
    if parts.username is not None:
        raise Refused("it must not hold a user name or password")
    if any(character <= " " or character == "\x7f" for character in address):
        raise Refused("it must not hold spaces or control characters")
    return parts


def post(address: str, message: dict[str, Any], *, private: bool = False, seconds: float = SECONDS) -> int:
    """The status that ``address`` answers with. Raises Refused, OSError or HTTPException."""
    parts = checked(address)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    target = _resolved(host, port, private)
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    with socket.create_connection((target, port), timeout=seconds) as plain:
        watchdog = threading.Timer(seconds, _cut, (plain,))  # an answer that drips in would outlast every timeout
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.sock = plain
            if parts.scheme == "https":
                connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"Content-Type": "application/json", "User-Agent": "assay", "Connection": "close"}
            connection.request("POST", path, json.dumps(message).encode(), headers)
            return connection.getresponse().status
        finally:
            watchdog.cancel()
            connection.close()


def _resolved(host: str, port: int, private: bool) -> str:
    """The address to connect to. One that is not public refuses the whole name."""
    found = [str(item[4][0]) for item in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for text in found:
        if not private and not is_public(text):
            raise Refused(f"{host} is {text}, which is no public address (ASSAY_WEBHOOK_PRIVATE=1 allows it)")
    return found[0]


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the open internet, whatever it is wrapped in."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inner:
            return is_public(str(inner))
        if address in NAT64:
            return is_public(str(ip_address(int(address) & 0xFFFFFFFF)))
    return address.is_global and not address.is_multicast


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is over
