"""What a session left, taken in without trust: two files by their exact names, their sizes capped, digests compared,
and nothing unpacked outside its folder."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

from backend.launchers.kaggle.client import Client, Missing, Output
from evidence import canonical, rundir, session, typed
from evidence.canonical import JsonError

LARGEST_ARCHIVE, LARGEST_SESSION = 21 * 10**9, 4 << 20
MOST_FILES, LARGEST_CONTENT = 100_000, 40 * 10**9
TRIES = 3
"""An address expires after a while; a new one is asked for so many times."""


class NotOurs(ValueError):
    """What the session left cannot be taken in; the message says why."""


def fetch(client: Client, slug: str, version: int, name: str, target: Path, largest: int) -> bool:
    """Download the output ``name`` to ``target``; False where there is none. Raises NotOurs for one that is too large,
    KaggleError."""
    for left in reversed(range(TRIES)):
        found = [item for item in client.outputs(slug, version).files if item.name == name]
        if not found:
            return False
        try:
            _download(client, found[0], target, largest)
            return True
        except Missing:
            if not left:
                raise
    return False


def read_session(path: Path) -> session.Session:
    """Raises NotOurs."""
    try:
        return typed.read(session.Session, canonical.read(path))  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise NotOurs(f"{session.DOCUMENT} is not what a session writes: {str(error)[:200]}") from None


def unpack(archive: Path, told: session.Packed, target: Path) -> None:
    """The archive's run, at ``target``, which appears whole or not at all. Raises NotOurs."""
    if (found := canonical.sha256_file(archive)) != told.sha256:
        raise NotOurs(f"{session.ARCHIVE} has the digest {found[:12]}…, and the session said {told.sha256[:12]}…")
    draft = target.with_name(f".{target.name}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            members, size = [], 0
            for entry in tar:
                members.append(entry)
                size += max(0, entry.size)
                if len(members) > MOST_FILES or size > LARGEST_CONTENT:
                    raise NotOurs(f"{session.ARCHIVE} holds more than a session can leave")
                if not entry.isfile() or not entry.name.startswith((f"{session.RUN}/", f"{session.BUNDLE}/")):
                    raise NotOurs(f"{session.ARCHIVE} holds {entry.name[:80]!r}, which no session packs")
            tar.extractall(draft, members, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise NotOurs(f"{session.ARCHIVE} cannot be unpacked: {' '.join(str(error).split())[:200]}") from None
    except NotOurs:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    if not (draft / session.RUN).is_dir():
        shutil.rmtree(draft, ignore_errors=True)
        raise NotOurs(f"{session.ARCHIVE} holds no run")
    shutil.rmtree(target, ignore_errors=True)
    (draft / session.RUN).rename(target)
    shutil.rmtree(draft, ignore_errors=True)


def check(asked_in: Path, came_back: Path) -> None:
    """The folder that came back is of the very run that was asked for here. Raises NotOurs."""
    try:
        ours, theirs = rundir.read_ask(asked_in), rundir.read_ask(came_back)
    except (OSError, ValueError, JsonError) as error:
        raise NotOurs(f"the run that came back cannot be read: {str(error)[:200]}") from None
    for name in ("run_id", "nonce", "spec_sha256"):
        if getattr(ours, name) != getattr(theirs, name):
            raise NotOurs(f"what came back is of another run: its {name} is {str(getattr(theirs, name))[:40]}")
    said = asked_in / rundir.EVENTS
    heard = said.read_bytes() if said.exists() else b""
    whole = (came_back / rundir.EVENTS).read_bytes() if (came_back / rundir.EVENTS).exists() else b""
    if not whole.startswith(heard[: heard.rfind(b"\n") + 1]):
        raise NotOurs("the events that came back are not those that were heard while the run went on")


def take_back(asked_in: Path, came_back: Path) -> None:
    """Leave of the events only those of the folder that came back: a session that goes on from there repeats what was
    heard of one that left nothing."""
    whole = (came_back / rundir.EVENTS).read_bytes()
    if (asked_in / rundir.EVENTS).read_bytes() != whole:
        draft = asked_in / f".{rundir.EVENTS}"
        draft.write_bytes(whole)
        draft.replace(asked_in / rundir.EVENTS)


def catch_up(asked_in: Path, came_back: Path, tell: Callable[[str], None]) -> None:
    """Append the events that were not heard while the run went on."""
    heard = (asked_in / rundir.EVENTS).stat().st_size if (asked_in / rundir.EVENTS).exists() else 0
    whole = (came_back / rundir.EVENTS).read_bytes()
    if missed := whole[heard : whole.rfind(b"\n") + 1]:
        with (asked_in / rundir.EVENTS).open("ab") as log:
            log.write(missed)
        tell(f"{missed.count(bytes([10])):,} events were not heard while the run went on, and are read now.")


def _download(client: Client, output: Output, target: Path, largest: int) -> None:
    part = target.with_name(f".{target.name}.part")
    done = 0
    with client.download(output.url) as (size, pieces), part.open("wb") as file:
        if size > largest:
            raise NotOurs(f"{output.name} has {size:,} bytes; at most {largest:,} are taken in")
        for piece in pieces:
            done += len(piece)
            if done > largest:
                raise NotOurs(f"{output.name} has more than {largest:,} bytes, which are not taken in")
            file.write(piece)
    if size >= 0 and done != size:
        raise Missing(f"{output.name} came with {done:,} of {size:,} bytes.")
    part.replace(target)


def log_text(log: str) -> str:
    """The platform's log as it gave it, with a newline at its end; plain text becomes an array of one piece."""
    try:
        kept = log if isinstance(json.loads(log), list) else json.dumps([{"data": log}])
    except ValueError:
        kept = json.dumps([{"data": log}] if log else [])
    return kept.rstrip("\n") + "\n"
