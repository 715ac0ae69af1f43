"""A stand-in for Kaggle, written from the protocol as its own client (kaggle 2.2.5) speaks it. Nothing here is Kaggle's.

Versions of notebooks stand where a test puts them; no time passes by itself. Each switch is a way in which the real one
refuses, fails or lies.
"""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN, USER, KEY = "stub-token", "tester", "stub-key"
IMAGE = "gcr.io/stand-in/python@sha256:" + "ab12" * 16


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Version:
    """One pushed version of a notebook, and its session."""

    number: int
    request: dict[str, Any]
    status: str = "QUEUED"
    failure: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False
    files: dict[str, bytes] = field(default_factory=dict)

    def print(self, *lines: str) -> None:
        """The session prints lines, each an event of its log."""
        for line in lines:
            self.log.append({"stream_name": "stdout", "time": float(len(self.log)), "data": f"{line}\n"})

    def end(self, status: str = "COMPLETE", failure: str = "") -> None:
        self.status, self.failure, self.ended = status, failure, True


@dataclass
class Switches:
    away: bool = False
    """Connections are closed without an answer."""
    revoked: bool = False
    retry_after: str = ""
    """429 with this header."""
    html: bool = False
    broken: int = 0
    """This status."""
    slot_busy: bool = False
    quota_spent: bool = False
    consent_missing: bool = False
    model_left_out: bool = False
    """The push is taken, without its model."""
    push_unanswered: bool = False
    """The push is taken, and the answer is lost on its way."""
    stale: bool = False
    """What is said of a version is that of the one before it."""
    expired: int = 0
    """So many downloads are answered with 403."""
    shape: str = ""
    """The machine that is given, whatever was asked for."""
    log_cut: bool = False
    """The live log ends without its end mark."""


class Stub:
    """``with Stub() as kaggle: kaggle.endpoint``."""

    def __init__(self, port: int = 0) -> None:
        self.asked: list[Asked] = []
        self.kernels: dict[str, list[Version]] = {}
        self.on = Switches()
        stub = self

        class Handler(_Handler):
            kaggle = stub

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Stub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def endpoint(self) -> str:
        return f"{self.host}/api"

    def of(self, method: str) -> list[Asked]:
        """The requests for one method."""
        return [item for item in self.asked if item.path.endswith(f"/{method}")]

    @property
    def newest(self) -> Version:
        """The version that was pushed last."""
        return list(self.kernels.values())[-1][-1]

    # What the methods answer.

    def SaveKernel(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.on.slot_busy:
            return {"error": "Maximum batch TPU session count of 1 reached."}
        if self.on.consent_missing:
            return {"error": "User has not consented to the terms of use for model google/gemma."}
        versions = self.kernels.setdefault(body["slug"], [])
        versions.append(Version(len(versions) + 1, body))
        left_out = {"invalidModelSources": body.get("modelDataSources", [])} if self.on.model_left_out else {}
        return {
            "ref": f"/code/{body['slug']}", "url": f"https://www.kaggle.com/code/{body['slug']}",
            "versionNumber": len(versions), "kernelId": 4_000 + len(self.kernels), **left_out,
        }  # fmt: skip

    def GetKernelSessionStatus(self, body: dict[str, Any]) -> dict[str, Any]:
        version = self._version(body)
        failure = {"failureMessage": version.failure} if version.failure else {}
        return {**({"status": version.status} if version.status != "QUEUED" else {}), **failure}

    def ListKernelSessionOutput(self, body: dict[str, Any]) -> dict[str, Any]:
        version = self._version(body)
        names = list(version.files)
        first = int(body.get("pageToken") or 0)
        size = min(2, body.get("pageSize", 20))  # pages, however few files there are
        files = [
            {"fileName": name, "url": f"{self.host}/storage/{body['userName']}/{body['kernelSlug']}/{version.number}/{at}"}
            for at, name in list(enumerate(names))[first : first + size]
        ]  # fmt: skip
        more = {"nextPageToken": str(first + size)} if first + size < len(names) else {}
        return {"files": files, "log": json.dumps(version.log), **more}

    def GetKernel(self, body: dict[str, Any]) -> dict[str, Any]:
        version, slug = self._version(body), f"{body['userName']}/{body['kernelSlug']}"
        kept = version.request
        return {
            "metadata": {
                "id": 4_001 + list(self.kernels).index(slug), "ref": f"/code/{slug}", "title": kept["newTitle"],
                "author": body["userName"], "slug": body["kernelSlug"], "language": "python", "kernelType": "notebook",
                "isPrivate": True, "enableTpu": True, "currentVersionNumber": version.number, "dockerImage": IMAGE,
                "machineShape": self.on.shape or kept.get("machineShape", ""),
            },
            "blob": {"source": kept["text"], "language": "python", "kernelType": "notebook", "slug": body["kernelSlug"]},
        }  # fmt: skip

    def GetAcceleratorQuotaStatistics(self, _body: dict[str, Any]) -> dict[str, Any]:
        used = "72000s" if self.on.quota_spent else "3600s"
        tpu = {"timeUsed": used, "timeReserved": "0s", "totalTimeAllowed": "72000s", "minimumTimeAllowed": "72000s"}
        return {"quotaRefreshTime": "2026-12-05T00:00:00.000Z", "tpuQuota": tpu}

    def IntrospectToken(self, body: dict[str, Any]) -> dict[str, Any]:
        known = body["token"] == TOKEN and not self.on.revoked
        return {"active": True, "username": USER} if known else {"active": False}

    def _version(self, body: dict[str, Any]) -> Version:
        versions = self.kernels.get(f"{body['userName']}/{body['kernelSlug']}")
        if not versions:
            raise LookupError
        label = body.get("versionLabel", "")
        if label and not label.startswith("v"):
            raise LookupError  # as the real one does
        number = int(label[1:]) if label else len(versions)
        return versions[max(0, number - 1 - self.on.stale)]


class _Handler(BaseHTTPRequestHandler):
    kaggle: Stub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._may_go_on(json.loads(data or b"{}")):
            return
        body = self.kaggle.asked[-1].body
        method = self.path.rsplit("/", 1)[-1]
        try:
            answer = getattr(self.kaggle, method)(body)
        except LookupError:
            self._json({"code": 404, "message": "Not found"}, 404)
            return
        if method == "SaveKernel" and self.kaggle.on.push_unanswered:
            self.close_connection = True
            return
        self._json(answer)

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        parts = where.path.removeprefix("/api").strip("/").split("/")
        if parts[0] == "storage":
            if self.kaggle.on.away:
                self.close_connection = True
            elif self.kaggle.on.expired:
                self.kaggle.on.expired -= 1
                self._send(b"<Error>expired</Error>", 403, "application/xml")
            else:
                files = self.kaggle.kernels[f"{parts[1]}/{parts[2]}"][int(parts[3]) - 1].files
                self._send(list(files.values())[int(parts[4])], 200, "application/octet-stream")
            return
        if self._may_go_on({}):
            label = parse_qs(where.query).get("versionLabel", [""])[0]
            try:
                version = self.kaggle._version({"userName": parts[4], "kernelSlug": parts[5], "versionLabel": label})
            except LookupError:
                self._json({"code": 404, "message": "Not found"}, 404)
                return
            lines = "".join(f"data: {json.dumps(event)}\n\n" for event in version.log)
            end = "" if self.kaggle.on.log_cut else "data: END_OF_LOG\n\n"
            self._send((lines + end).encode(), 200, "text/event-stream")

    def _may_go_on(self, body: Any) -> bool:
        kaggle = self.kaggle
        if kaggle.on.away:
            self.close_connection = True
            return False
        kaggle.asked.append(Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        basic = "Basic " + base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        introspects = self.path.endswith("/IntrospectToken")
        if kaggle.on.html:
            self._send(b"<!doctype html><title>We will be back</title>", 200, "text/html")
        elif kaggle.on.retry_after:
            self._send(b"", 429, "text/plain", {"Retry-After": kaggle.on.retry_after})
        elif kaggle.on.broken:
            self._send(b"<html>trouble</html>", kaggle.on.broken, "text/html")
        elif not introspects and (
            kaggle.on.revoked or self.headers.get("Authorization") not in (f"Bearer {TOKEN}", basic)
        ):
            self._json({"code": 401, "message": "Unauthenticated"}, 401)
        else:
            return True
        return False

    def _json(self, document: Any, status: int = 200) -> None:
        self._send(json.dumps(document).encode(), status, "application/json")

    def _send(self, data: bytes, status: int, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
