"""The witness: with a key of its own, the server issues a run's nonce and countersigns rows while they come in.

Its receipts lie in the run's folder, ``witness.jsonl``, of which the server is the only writer. A thread of its own
looks at the end of a live run's events, so signing never holds up the index; the key is made when it is first needed.
A run that something else launched has no receipt of its nonce, and is not witnessed.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from evidence import events, provenance, receipts, rundir, signing
from evidence.rundir import Ask

LOOK_SECONDS = 0.5
TAIL_BYTES = 1 << 16
"""How much of the end of a run's events is read at first to find its newest row."""

log = logging.getLogger("assay")


@dataclass
class _Seen:
    """What the witness has said of a run. ``since``: when it began to watch, on the monotonic clock."""

    nonce: str
    line: str
    at: str
    step: int
    head: str
    since: float
    last: float


class Witness:
    """Over the runs below ``root``, with the key that is kept in ``home``."""

    def __init__(self, root: Path, home: Path) -> None:
        self._root, self._home = root, home
        self._signer: signing.Signer | None = None
        self._broken = False
        self._live: dict[str, bool] = {}
        self._seen: dict[str, _Seen] = {}
        self._turn = threading.Lock()
        self._woken, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()

    def issue(self, ask: Ask) -> str:
        """The receipt with which the nonce of a new run is issued; "" where the server cannot sign."""
        with self._turn:
            if (signer := self._key()) is None:
                return ""
            document = {
                "kind": "issued",
                "run_id": ask.run_id,
                "nonce": ask.nonce,
                "spec_sha256": ask.spec_sha256,
                "at": events.now(),
                "key": signer.public.fingerprint,
                "host_sha256": provenance.host_name_sha256(),
            }
            return receipts.line(document, signer.sign(receipts.message(document)))

    def note(self, run: str, live: bool) -> None:
        """A run lives, or has just ended: watch it, or look at it for the last time."""
        if self._live.get(run, False) or live:
            self._live[run] = live
            self._woken.set()

    def settle(self, run: Path) -> None:
        """Countersign what an ended run said last, now."""
        self._look(run, last=True)

    def _watch(self) -> None:
        while not self._end.is_set():
            self._woken.clear()
            for name, live in list(self._live.items()):
                try:
                    self._look(self._root / name, last=not live)
                except Exception:
                    log.exception("run %s could not be witnessed", name)
                if not live and self._live.get(name) is False:
                    del self._live[name]
            if any(self._live.values()):
                self._end.wait(LOOK_SECONDS)
            else:
                self._woken.wait()

    def _look(self, run: Path, last: bool) -> None:
        """Countersign the run's newest row if it is new, and if it is time."""
        with self._turn:
            if (seen := self._seen.get(run.name)) is None and (seen := self._begin(run)) is None:
                return
            now = time.monotonic()
            pause = max(receipts.EVERY_SECONDS, (now - seen.since) * receipts.EVERY_SHARE)
            if not last and now - seen.last < pause:
                return
            row = _newest_row(run / rundir.EVENTS)
            if row is None or (row.step, row.hash) == (seen.step, seen.head) or (signer := self._key()) is None:
                return
            at = max(events.now(), seen.at)
            document = {
                "kind": "head",
                "run_id": run.name,
                "nonce": seen.nonce,
                "step": row.step,
                "head": row.hash,
                "at": at,
                "prev": receipts.digest(seen.line),
            }
            line = receipts.line(document, signer.sign(receipts.message(document)))
            _append(run / rundir.WITNESS, line)
            seen.line, seen.at, seen.step, seen.head, seen.last = line, at, row.step, row.hash, now

    def _begin(self, run: Path) -> _Seen | None:
        """What was said before a restart; half a line, which a killed server left, is taken away. None for a run whose
        nonce this witness did not issue."""
        path = run / rundir.WITNESS
        lines, end = rundir.whole_lines(path, 0, limit_bytes=-1)
        if not lines:
            return None
        try:
            first, newest = receipts.read(lines[0]), receipts.read(lines[-1])
        except receipts.NoReceipt as error:
            log.warning("run %s is not witnessed: its %s is broken: %s", run.name, rundir.WITNESS, error)
            return None
        signer = self._key()
        if signer is None or not isinstance(first, receipts.Issued) or first.key != signer.public.fingerprint:
            return None
        if path.stat().st_size > end:
            os.truncate(path, end)
        step, head = (newest.step, newest.head) if isinstance(newest, receipts.Head) else (0, "")
        lasted = (events.instant(events.now()) - events.instant(first.at)).total_seconds()
        now = time.monotonic()
        seen = _Seen(first.nonce, lines[-1].decode(), newest.at, step, head, now - lasted, now - receipts.EVERY_SECONDS)
        self._seen[run.name] = seen
        return seen

    def _key(self) -> signing.Signer | None:
        if self._signer is None and not self._broken:
            try:
                self._signer = signing.witness_key(self._home)
            except signing.SigningError as error:
                self._broken = True
                log.warning("runs are not witnessed: %s", error)
        return self._signer


def _newest_row(path: Path) -> events.Step | None:
    """The row in a run's last whole lines; None before the first one, and when the run goes on from a saved state and
    has no row since."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            length = TAIL_BYTES
            while True:
                start = max(0, size - length)
                stream.seek(start)
                lines = stream.read(size - start).split(b"\n")[:-1]
                for line in reversed(lines[1:] if start else lines):
                    if b'"kind":"step"' in line or b'"kind":"resumed"' in line:
                        event = events.decode(line)
                        return event if isinstance(event, events.Step) else None
                if not start:
                    return None
                length *= 4
    except (FileNotFoundError, events.EventError):
        return None


def _append(path: Path, line: str) -> None:
    with path.open("ab", buffering=0) as stream:
        stream.write(line.encode() + b"\n")
