"""KGL: a session that a platform lent is the one that this run says, and nothing is called Kaggle's that is not.

KGL-03 and KGL-04 hold what lies in the bundle together. KGL-01 and KGL-02 set it beside what the platform's own API
tells the verifier, who has to ask it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from evidence import canonical, endpoints, events, notebook, reading, session, typed
from evidence.checks.check import Family, Findings, NotRun, differs
from evidence.known import Told
from evidence.manifest import GitSource, Kaggle, Local, Platform
from evidence.reading import Bundle
from evidence.verdict import Doubt, Finding

family = Family("platform")

_VALUE = re.compile(r"^(RUN_ID|NONCE|COMMIT) = (\".*?\")", re.MULTILINE)
KAGGLE_HOST = "www.kaggle.com"


@family.check("KGL-03", "the session, its notebook and its log are this run's", "E2", about="platform")
def coherent(bundle: Bundle) -> Findings:
    manifest, told = bundle.told, _platform(bundle)
    wanted = {"RUN_ID": manifest.run.run_id, "NONCE": manifest.run.nonce}
    if isinstance(manifest.source, GitSource):
        wanted["COMMIT"] = manifest.source.commit
    pinned = _pinned(bundle.text(reading.NOTEBOOK))
    for name, value in wanted.items():
        yield from differs(reading.NOTEBOOK, name, value, pinned.get(name, "nothing"))
    document = bundle.document(reading.SESSION)
    said = typed.read(session.Session, document)
    ran = said.run.run_id if isinstance(said.run, session.Trained) else "no run"
    yield from differs(reading.SESSION, "$.run.run_id", manifest.run.run_id, ran)
    if isinstance(manifest.source, GitSource):
        yield from differs(reading.SESSION, "$.source.commit", manifest.source.commit, said.source.commit)
    if said.smoke:
        yield Finding(reading.SESSION, "$.smoke", "a session that was no smoke test of its machine", "one that was")
    if not bundle.early and not isinstance(said.hardware, session.Proven):
        yield Finding(reading.SESSION, "$.hardware.kind", "proven, before anything was trained", said.hardware.kind)
    if not bundle.early and bundle.manifest.hardware.platform == "tpu" and not told.machine_shape.startswith("Tpu"):
        where = "$.location.platform.machine_shape"
        yield Finding(reading.MANIFEST, where, "a TPU's, since the run was on one", told.machine_shape)
    if not bundle.early and isinstance(said.hardware, session.Proven):
        hardware, proven = bundle.manifest.hardware, said.hardware.found
        yield from differs(reading.SESSION, "$.hardware.found.platform", hardware.platform, proven.platform)
        kinds = sorted({device.device_kind for device in hardware.devices})
        yield from differs(reading.SESSION, "$.hardware.found.device_kinds", kinds, proven.device_kinds)
        yield from differs(reading.SESSION, "$.hardware.found.devices", len(hardware.devices), len(proven.devices))
        if hardware.numerics_sha256:
            where = "$.hardware.found.numerics_sha256"
            yield from differs(reading.SESSION, where, hardware.numerics_sha256, proven.numerics_sha256)
    ours = list(_lines(bundle.text(reading.LOG)))
    printed = _said(bundle.text(reading.PLATFORM_LOG))
    theirs = list(_lines(printed))
    words = [line.removeprefix(session.MARK) for line in printed.split("\n") if line.startswith(session.MARK)]
    if not words:
        yield Doubt(reading.PLATFORM_LOG, session.MARK.strip(), "what the session said of itself at its end", "nothing")
    elif words[-1].rstrip("\r") != canonical.encode(document):
        yield Finding(reading.PLATFORM_LOG, session.MARK.strip(), f"what {reading.SESSION} says", "something else")
    if ours != theirs:
        number = next((at for at, pair in enumerate(zip(ours, theirs, strict=False), 1) if pair[0] != pair[1]), 0)
        where = f"event {number}" if number else "events"
        yield Finding(
            reading.PLATFORM_LOG, where, f"the {len(ours)} events of {reading.LOG}", f"{len(theirs)}, or others"
        )
    if f"{told.owner}/{told.slug}" not in told.url:
        yield Finding(reading.MANIFEST, "$.location.platform.url", f"an address of {told.owner}/{told.slug}", told.url)


@family.check("KGL-04", "what is called Kaggle's came from Kaggle's own API, nothing else is", "E2", about="platform")
def called_what_it_is(bundle: Bundle) -> Findings:
    told, where = _platform(bundle), "$.location.platform"
    host = (urlsplit(told.url).hostname or "").lower()
    on_kaggle = host == KAGGLE_HOST or host.endswith(".kaggle.com") or host == "kaggle.com"
    if isinstance(bundle.told.location, Kaggle):
        yield from differs(reading.MANIFEST, f"{where}.endpoint", endpoints.KAGGLE, told.endpoint)
        if host != KAGGLE_HOST:
            yield Finding(reading.MANIFEST, f"{where}.url", f"an address at {KAGGLE_HOST}", told.url)
        said = typed.read(session.Session, bundle.document(reading.SESSION))
        if not isinstance(said.platform, session.Kaggle):
            yield Finding(reading.SESSION, "$.platform.kind", "kaggle", said.platform.kind)
    else:
        if told.endpoint == endpoints.KAGGLE:
            yield Finding(reading.MANIFEST, f"{where}.endpoint", "another endpoint than Kaggle's", told.endpoint)
        if on_kaggle:
            yield Finding(reading.MANIFEST, f"{where}.url", "an address of the stand-in's own", told.url)


@family.check("KGL-01", "the platform says the same notebook, machine and image", "E5", about="platform")
def same_session(bundle: Bundle) -> Findings:
    told, found = _platform(bundle), _asked(bundle)
    for name in ("endpoint", "version", "kernel_id", "machine_shape", "docker_image"):
        yield from differs(reading.MANIFEST, f"$.location.platform.{name}", getattr(found, name), getattr(told, name))
    if found.notebook != bundle.text(reading.NOTEBOOK):
        yield Finding(reading.NOTEBOOK, "", "the notebook that the platform has", "another one")


@family.check("KGL-02", "the platform's log is this log", "E5", about="platform")
def same_log(bundle: Bundle) -> Findings:
    if _asked(bundle).log.rstrip("\n") != bundle.text(reading.PLATFORM_LOG).rstrip("\n"):
        yield Finding(reading.PLATFORM_LOG, "", "the log that the platform has", "another one")


@family.check("KGL-05", "the notebook's cells are those that this program ships", "E5", about="platform")
def shipped_cells(bundle: Bundle) -> Findings:
    """Else the cells themselves could have printed the log. Another version's are no finding: somebody has to read
    them, or verify with that version."""
    if not notebook.SOURCE.is_file():
        raise NotRun("this installation has no notebook to compare with; verify from a checkout")
    shipped = _cells(notebook.build(notebook.Parameters()).decode())
    if _cells(bundle.text(reading.NOTEBOOK)) != shipped:
        raise NotRun(
            f"the cells of {reading.NOTEBOOK} are not those of this version; read them, or verify with its commit's"
        )
    yield from ()


def _cells(text: str) -> list[str]:
    """The code of a notebook's cells, but of the one that holds its parameters."""
    found = []
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "code" and "parameters" not in cell.get("metadata", {}).get("tags", []):
            source: Any = cell["source"]
            found.append(source if isinstance(source, str) else "".join(source))
    return found


def _platform(bundle: Bundle) -> Platform:
    location = bundle.told.location
    if isinstance(location, Local):
        raise NotRun("the run took place on a machine of its operator")
    return location.platform


def _asked(bundle: Bundle) -> Told:
    """What this verifier was told. Raises NotRun."""
    found = bundle.known.platform
    if found is None:
        raise NotRun(bundle.known.no_platform)
    return found


def _pinned(notebook: str) -> dict[str, str]:
    """What the parameters' cell of a notebook says of the run."""
    found: dict[str, str] = {}
    for cell in json.loads(notebook)["cells"]:
        source: Any = cell["source"]
        if "parameters" in cell.get("metadata", {}).get("tags", []):
            text = source if isinstance(source, str) else "".join(source)
            found |= {name: json.loads(value) for name, value in _VALUE.findall(text)}
    return found


def _said(log: str) -> str:
    """The text of a platform's log, a JSON array of ``{stream_name, time, data}``: one stream after the other, since
    each may be cut within its lines."""
    streams: dict[str, str] = {}
    for item in json.loads(log):
        name = str(item.get("stream_name", ""))
        streams[name] = streams.get(name, "") + str(item["data"])
    return "\n".join(streams.values())


def _lines(text: str) -> Iterator[str]:
    """The events in a log, as they stand behind their mark."""
    for line in text.split("\n"):
        if line.startswith(events.LOG_MARK):
            yield line.removeprefix(events.LOG_MARK).rstrip("\r")
