"""Kaggle's protocol, as its own client speaks it: ``POST <endpoint>/v1/<Service>/<Method>``, JSON both ways.

A refusal may come as an HTTP status, as ``{"code", "message"}`` or as ``error`` inside an answer of status 200; all of
them become a KaggleError, whose text is one sentence. Nothing is tried again here: when, is the launcher's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx

from backend.launchers.kaggle.credentials import Credentials
from evidence.endpoints import KAGGLE as ENDPOINT

AGENT = "assay"
KERNELS, OAUTH = "kernels.KernelsApiService", "security.OAuthService"
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
LARGEST_ANSWER = 64 << 20
"""Bytes of one JSON answer; the log of a session is the largest that is ever asked for."""

Document: TypeAlias = dict[str, Any]


class KaggleError(RuntimeError):
    """Kaggle refused, or cannot be understood."""


class Unreachable(KaggleError):
    """There was no answer: nothing is known of what became of the request."""


class Unauthorized(KaggleError):
    """The token is wrong, was revoked, or may not do this."""


class Forbidden(Unauthorized):
    """This account may not do this; of a notebook that does not exist, Kaggle says the same."""


class Missing(KaggleError):
    """There is nothing of this name."""


class TooMany(KaggleError):
    """Kaggle asks to wait. ``seconds``: how long, 0 where it does not say."""

    def __init__(self, message: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(message)


class NotKaggle(KaggleError):
    """An answer that is none of the protocol: a page of HTML, JSON of another shape."""


class Troubled(KaggleError):
    """Kaggle has trouble of its own (status 5xx)."""


@dataclass(frozen=True)
class Kernel:
    """A notebook to push. ``slug``: owner and name. ``machine_shape`` "": without an accelerator. ``models``,
    ``datasets``, ``kernels``: what is attached to it."""

    slug: str
    title: str
    notebook: bytes
    machine_shape: str
    timeout_seconds: int
    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    internet: bool = True


@dataclass(frozen=True)
class Pushed:
    """``not_attached``: sources that Kaggle left away, although it took the notebook. ``error``: it did not take it."""

    ref: str
    url: str
    version: int
    kernel_id: int
    error: str = ""
    not_attached: tuple[str, ...] = ()


@dataclass(frozen=True)
class Session:
    """``status``: Kaggle's word, whatever it is."""

    status: str
    failure: str = ""


@dataclass(frozen=True)
class Output:
    name: str
    url: str


@dataclass(frozen=True)
class Outputs:
    files: tuple[Output, ...]
    log: str


@dataclass(frozen=True)
class Found:
    """A notebook as Kaggle has it, and what Kaggle says of it."""

    source: str
    kernel_id: int
    ref: str
    version: int
    machine_shape: str
    docker_image: str
    metadata: Document

    @property
    def machine(self) -> tuple[str, str]:
        """The machine's shape and image in words, also where Kaggle names none."""
        shape = self.machine_shape if self.machine_shape not in ("", "None") else "no accelerator"
        return shape, self.docker_image or "the platform names no image"


@dataclass(frozen=True)
class Quota:
    """Seconds of this week. ``renewed_at``: when the next week begins, "" where Kaggle does not say."""

    used: float
    reserved: float
    allowed: float
    renewed_at: str

    @property
    def left(self) -> float:
        return max(0.0, self.allowed - self.used - self.reserved)


class Client:
    """One account at one endpoint. Every call raises KaggleError."""

    def __init__(
        self,
        credentials: Credentials,
        endpoint: str = ENDPOINT,
        transport: httpx.BaseTransport | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._credentials, self._transport = credentials, transport
        self._http = httpx.Client(
            headers={"User-Agent": AGENT, **credentials.headers()},
            timeout=httpx.Timeout(read_seconds, connect=CONNECT_SECONDS),
            transport=transport,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def owner(self) -> str:
        """The name of the account, which a token does not carry with it."""
        if self._credentials.user:
            return self._credentials.user
        answer = self._call(OAUTH, "IntrospectToken", {"token": self._credentials.token})
        name = answer.get("username", "")
        if not answer.get("active") or not isinstance(name, str) or not name:
            raise Unauthorized("Kaggle says that this token is not valid any more; make a new one in its settings.")
        return name

    def quota(self) -> Quota:
        """What this week holds of TPU time. Raises NotKaggle where the answer does not say."""
        answer = self._call(KERNELS, "GetAcceleratorQuotaStatistics", {})
        tpu = answer.get("tpuQuota")
        if not isinstance(tpu, dict) or "totalTimeAllowed" not in tpu:
            raise NotKaggle("Kaggle does not say how much TPU time this week has.")
        used, reserved, allowed = (
            _seconds(tpu.get(name, "0s")) for name in ("timeUsed", "timeReserved", "totalTimeAllowed")
        )
        return Quota(used, reserved, allowed, _text(answer, "quotaRefreshTime"))

    def push(self, kernel: Kernel) -> Pushed:
        """Save the notebook as a new version, and run it."""
        answer = self._call(KERNELS, "SaveKernel", save_request(kernel))
        lists = ("invalidModelSources", "invalidDatasetSources", "invalidKernelSources", "invalidCompetitionSources")
        return Pushed(
            ref=_text(answer, "ref").removeprefix("/code/").strip("/"),
            url=_text(answer, "url"),
            version=_number(answer, "versionNumber"),
            kernel_id=_number(answer, "kernelId"),
            error=_text(answer, "error"),
            not_attached=tuple(str(item) for name in lists for item in answer.get(name) or ()),
        )

    def session(self, slug: str, version: int) -> Session:
        """How the session of this version stands."""
        answer = self._call(KERNELS, "GetKernelSessionStatus", _named(slug, version))
        # Kaggle leaves out what is the default; of a status, that is QUEUED.
        return Session(_text(answer, "status") or "QUEUED", _text(answer, "failureMessage"))

    def find(self, slug: str, version: int = 0) -> Found:
        """The notebook as Kaggle has it. Raises Missing."""
        answer = self._call(KERNELS, "GetKernel", _named(slug, version))
        metadata, blob = answer.get("metadata"), answer.get("blob")
        if not isinstance(metadata, dict) or not isinstance(blob, dict):
            raise NotKaggle(f"Kaggle's answer about the notebook {slug} holds no notebook.")
        return Found(
            source=_text(blob, "source"),
            kernel_id=_number(metadata, "id"),
            ref=_text(metadata, "ref").removeprefix("/code/").strip("/"),
            version=_number(metadata, "currentVersionNumber"),
            machine_shape=_text(metadata, "machineShape"),
            docker_image=_text(metadata, "dockerImage"),
            metadata=metadata,
        )

    def outputs(self, slug: str, version: int) -> Outputs:
        """What the session left: all files, page by page, and its log."""
        files: list[Output] = []
        log, token = "", ""
        for _ in range(100):
            page = {"pageToken": token, "pageSize": 100}
            answer = self._call(KERNELS, "ListKernelSessionOutput", {**_named(slug, version), **page})
            files += [
                Output(_text(item, "fileName"), _text(item, "url"))
                for item in answer.get("files") or ()
                if isinstance(item, dict)
            ]
            log, token = log or _text(answer, "log"), _text(answer, "nextPageToken")
            if not token:
                break
        return Outputs(tuple(files), log)

    def log(self, slug: str, version: int) -> Iterator[Document]:
        """The log as it is written, always from its beginning: ``{stream_name, time, data}``. Ends with the session,
        or as soon as nothing comes for as long as this client waits, which raises Unreachable."""
        url = f"{self.endpoint}/v1/kernels/logs/stream/{slug}"
        with self._answer(
            "GET", url, {"Accept": "text/event-stream, */*"}, params={"versionLabel": f"v{version}"}
        ) as got:
            if not got.headers.get("content-type", "").lower().startswith("text/event-stream"):
                yield from log_events(_body(got, url).decode("utf-8", "replace"))
                return
            for line in got.iter_lines():
                if not line.startswith("data:"):
                    continue
                payload = line[5:].lstrip()
                if payload == "END_OF_LOG":
                    return
                yield _log_event(payload)

    @contextmanager
    def download(self, url: str) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The bytes behind a signed URL, and how many it says they are (-1: it does not). Our token stays here. Raises
        Missing for a URL that has expired."""
        try:
            plain = httpx.Client(timeout=self._http.timeout, transport=self._transport, follow_redirects=True)
            # What storage compresses on the way would have another length than it says.
            with plain, plain.stream("GET", url, headers={"Accept-Encoding": "identity"}) as got:
                if got.status_code in (400, 401, 403, 404, 410):
                    raise Missing("The address that Kaggle gave for a file has expired.")
                if got.is_error:
                    raise Troubled(f"Kaggle's storage answers with status {got.status_code}.")
                length = "" if got.headers.get("content-encoding") else got.headers.get("content-length", "")
                yield int(length) if length.isdecimal() else -1, got.iter_bytes(1 << 20)
        except httpx.HTTPError as error:
            raise Unreachable(f"Kaggle's storage cannot be reached ({_why(error)}).") from None

    def _call(self, service: str, method: str, body: Document) -> Document:
        url = f"{self.endpoint}/v1/{service}/{method}"
        with self._answer("POST", url, {"Accept": "application/json"}, json=body) as got:
            data = _body(got, url)
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            what = "a page of HTML" if data.lstrip()[:1] == b"<" else "something that is no JSON object"
            raise NotKaggle(f"{method}: instead of an answer, {url.split('/v1/')[0]} sent {what}.")
        code = answer.get("code")
        if isinstance(code, int) and code >= 400:
            raise refusal(code, _text(answer, "message"), method, "")
        return answer

    @contextmanager
    def _answer(self, method: str, url: str, headers: dict[str, str], **options: Any) -> Iterator[httpx.Response]:
        try:
            with self._http.stream(method, url, headers=headers, **options) as got:
                if got.status_code >= 300:
                    message = _message(_body(got, url))
                    raise refusal(got.status_code, message, url.rsplit("/", 1)[-1], got.headers.get("retry-after", ""))
                yield got
        except httpx.HTTPError as error:
            raise Unreachable(f"Kaggle cannot be reached ({_why(error)}).") from None


def save_request(kernel: Kernel) -> Document:
    """The body of SaveKernel: what equals Kaggle's default is left out, as its own client does."""
    lists = {
        "datasetDataSources": list(kernel.datasets),
        "kernelDataSources": list(kernel.kernels),
        "modelDataSources": list(kernel.models),
    }
    return {
        "slug": kernel.slug,
        "newTitle": kernel.title,
        "text": plain_notebook(kernel.notebook),
        "language": "python",
        "kernelType": "notebook",
        "isPrivate": True,
        "enableGpu": False,
        "enableTpu": bool(kernel.machine_shape),
        "enableInternet": kernel.internet,
        "sessionTimeoutSeconds": kernel.timeout_seconds,
        **({"machineShape": kernel.machine_shape} if kernel.machine_shape else {}),
        **{name: items for name, items in lists.items() if items},
    }


def plain_notebook(notebook: bytes) -> str:
    """A notebook as Kaggle wants it: no outputs, each cell's source one text."""
    document = json.loads(notebook)
    for cell in document.get("cells", []):
        if "outputs" in cell and cell["cell_type"] == "code":
            cell["outputs"] = []
        if isinstance(cell.get("source"), list):
            cell["source"] = "".join(cell["source"])
    return json.dumps(document)


def log_events(text: str) -> list[Document]:
    """The events of a log as Kaggle keeps it: a JSON array of ``{stream_name, time, data}``, or else plain lines."""
    try:
        document = json.loads(text)
    except ValueError:
        return [{"data": f"{line}\n"} for line in text.splitlines()]
    items = document if isinstance(document, list) else [document]
    return [item for item in items if isinstance(item, dict)]


def refusal(status: int, message: str, method: str, retry_after: str) -> KaggleError:
    """What a status means, in a sentence."""
    said = f": {message}" if message else ""
    if status == 401:
        return Unauthorized(
            "Kaggle does not accept the token (401): it is wrong, or was revoked; make a new one in Kaggle's settings."
        )
    if status == 403:
        return Forbidden(f"Kaggle does not allow this account to do that (403, {method}){said}")
    if status == 404:
        return Missing(f"Kaggle knows nothing of this name (404, {method}){said}")
    if status == 429:
        seconds = float(retry_after) if retry_after.isdecimal() else 0.0
        wait = f" for {seconds:,.0f} seconds" if seconds else ""
        return TooMany(f"Kaggle asks to wait{wait} (429).", seconds)
    if status >= 500:
        return Troubled(f"Kaggle has trouble of its own ({status}, {method}).")
    return KaggleError(f"Kaggle refuses ({status}, {method}){said}")


def _named(slug: str, version: int) -> Document:
    owner, _, name = slug.partition("/")
    return {"userName": owner, "kernelSlug": name, **({"versionLabel": f"v{version}"} if version else {})}


def _body(got: httpx.Response, url: str) -> bytes:
    data = bytearray()
    for part in got.iter_bytes():
        data += part
        if len(data) > LARGEST_ANSWER:
            raise NotKaggle(f"{url.rsplit('/', 1)[-1]}: the answer is larger than {LARGEST_ANSWER >> 20} MiB.")
    return bytes(data)


def _message(data: bytes) -> str:
    """What an error's body says, if it is JSON; a page of HTML says nothing to anybody."""
    try:
        document = json.loads(data)
    except ValueError:
        return ""
    return _text(document, "message") if isinstance(document, dict) else ""


def _log_event(payload: str) -> Document:
    try:
        document = json.loads(payload)
    except ValueError:
        return {"data": payload}
    return document if isinstance(document, dict) else {"data": payload}


def _text(document: Document, name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _number(document: Document, name: str) -> int:
    value = document.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _seconds(text: Any) -> float:
    """A duration like ``72000s``."""
    try:
        return float(str(text).removesuffix("s"))
    except ValueError:
        raise NotKaggle(f"Kaggle tells a time as {str(text)[:40]!r}, which this version does not understand.") from None


def _why(error: httpx.HTTPError) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
