"""Watchers: what a careful person would notice of a run that goes on, without a word of its own code.

Every few seconds a look at each run that starts or trains. What is found is an alert: appended to ``alerts.jsonl`` in
its folder when it begins and when it is over, shown with the run while it holds, and posted to the webhook, if there is
one. The alerts that held when a run ended stay with it.
"""

from __future__ import annotations

import logging
import math
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from backend.runs.answers import Alert, StepColumn
from backend.runs.rows import plain
from backend.runs.store import Store
from backend.settings import Thresholds
from evidence import canonical, events, rundir

log = logging.getLogger("assay")

FIRST_PHASE = "loading"
"""With it each attempt begins."""

Found = dict[str, str]
"""A sentence by code, of all that holds now."""


class Watchers:
    """``tell`` gets each new alert, with the run it is of; ``refresh`` brings the index up to a folder."""

    def __init__(
        self,
        root: Path,
        store: Store,
        thresholds: Thresholds,
        tell: Callable[[str, Alert], None],
        refresh: Callable[[Path], None],
    ) -> None:
        self._root, self._store, self._thresholds = root, store, thresholds
        self._tell, self._refresh = tell, refresh
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watchers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self) -> None:
        """Look at every run that starts or trains, once."""
        for item in self._store.standings():
            if item.state in ("starting", "running"):
                self._look_at(self._root / item.id)

    def _work(self) -> None:
        while not self._end.wait(self._thresholds.every_seconds):
            try:
                self.look()
            except Exception:
                log.exception("watching the runs failed; trying again")

    def _look_at(self, run: Path) -> None:
        try:
            found = self._found(run)
        except (OSError, KeyError):
            return  # it was deleted meanwhile
        known = {alert.code: alert for alert in held(run)}
        begun = [Alert(code=code, message=found[code], since=events.now()) for code in found if code not in known]
        lines: list[dict[str, str]] = [alert.model_dump() for alert in begun]
        lines += [{"code": code, "over": events.now()} for code in known if code not in found]
        if not lines:
            return
        try:
            torn = rundir.has_torn_line(run / rundir.ALERTS)
            with (run / rundir.ALERTS).open("a", encoding="utf-8") as stream:
                stream.write("\n" * torn + "".join(canonical.encode(line) + "\n" for line in lines))
        except OSError as error:  # a full disk, most likely: the one who can be told still is
            log.warning("run %s: an alert could not be written down: %s", run.name, error)
        self._refresh(run)
        for alert in begun:
            log.warning("run %s: %s", run.name, alert.message)
            self._tell(run.name, alert)

    def _found(self, run: Path) -> Found:
        bounds = self._thresholds
        usage = shutil.disk_usage(run)
        found = disk(usage.total, usage.free, bounds)
        shown = self._store.summary(run.name)
        steps = shown.state == "running" and shown.phase == "training" and 0 < shown.step < shown.steps
        if not steps and (quiet := _quiet(run)) > bounds.silence_seconds:
            phase = shown.phase if shown.state == "running" and shown.phase else "starting"
            said = self._store.of_kind(run.name, events.Phase.kind)
            found |= silence(phase, quiet, took_before(phase, said), bounds)
        if not shown.step:
            return found
        names: tuple[StepColumn, ...] = ("loss", "tokens_per_second", "step_seconds")
        first = self._columns(run.name, names, 1, 2 * bounds.window)
        last = self._columns(run.name, names, max(1, shown.step - bounds.history + 1), shown.step)
        found |= losses(_numbers(first["loss"]), _numbers(last["loss"]), bounds)
        found |= throughput(_finite(last["tokens_per_second"]), bounds)
        if steps:
            quiet = time.time() - (run / rundir.EVENTS).stat().st_mtime
            found |= stall(quiet, _finite(last["step_seconds"]), bounds)
        return found

    def _columns(self, run_id: str, names: tuple[StepColumn, ...], first: int, last: int) -> dict[str, list[Any]]:
        curves = self._store.curves(run_id, names, first, last)
        return {name: plain(column) for name, column in curves.columns.items()}


def held(run: Path) -> list[Alert]:
    """The alerts that hold, or held when the run ended, oldest first."""
    if not (run / rundir.ALERTS).exists():
        return []
    lines, _ = rundir.whole_lines(run / rundir.ALERTS, 0, limit_bytes=-1)
    found: dict[str, Alert] = {}
    for line in lines:
        try:
            document = canonical.decode(line)
            if "over" in document:
                found.pop(document["code"], None)
            else:
                found[document["code"]] = Alert(**document)
        except (ValueError, TypeError, LookupError):
            continue
    return list(found.values())


def losses(first: Sequence[float], last: Sequence[float], bounds: Thresholds) -> Found:
    """Whether the loss is no number any more, or has left for good: far above its best, and above where it began."""
    if last and not math.isfinite(last[-1]):
        return {"not_finite": "The loss is not a finite number any more."}
    window = bounds.window
    begun = [value for value in first if math.isfinite(value)]
    late = [value for value in last if math.isfinite(value)]
    if len(late) < 3 * window or len(begun) < window:
        return {}
    start, now = median(begun[:window]), median(late[-window:])
    best = min(median(late[at : at + window]) for at in range(0, len(late) - window + 1, window))
    if now > start and now > bounds.divergence * best:
        return {
            "divergence": f"The loss diverges: {now:.4g} over the latest {window} steps, above the {start:.4g} that it "
            f"began with; it was {best:.4g} before."
        }
    return {}


def throughput(values: Sequence[float], bounds: Thresholds) -> Found:
    window = bounds.window
    if len(values) < 3 * window:
        return {}
    now, before = median(values[-window:]), median(values[:-window])
    if now < bounds.throughput * before:
        return {
            "throughput": f"Throughput dropped to {now / before:.0%}: {now:,.0f} tokens a second over the latest "
            f"{window} steps, {before:,.0f} before."
        }
    return {}


def stall(quiet_seconds: float, step_seconds: Sequence[float], bounds: Thresholds) -> Found:
    pace = median(step_seconds) if step_seconds else 0.0
    patience = max(bounds.stall_seconds, bounds.stall_steps * pace)
    if quiet_seconds > patience:
        return {"no_step": f"No step for more than {patience:,.0f} seconds; a step takes {pace:.3g} seconds otherwise."}
    return {}


def silence(phase: str, quiet_seconds: float, took: Sequence[float], bounds: Thresholds) -> Found:
    """Whether a run has said nothing for longer than what it does can explain: no event, and no line in its log."""
    longest = max(took, default=0.0)
    patience = max(bounds.silence_seconds, bounds.silence_times * longest)
    if quiet_seconds <= patience:
        return {}
    before = f"; the longest time before took {longest:,.0f} seconds" if took else ""
    doing = "in its first step" if phase == "training" and not took else f"while {phase}"
    return {"silent": f"Not a word for more than {patience:,.0f} seconds {doing}{before}. Its log may say why."}


def took_before(phase: str, said: Sequence[dict[str, Any]]) -> list[float]:
    """Seconds of each earlier time in ``phase``, up to the next one of the same attempt; ``said``: phase events."""
    return [
        (events.instant(after["time"]) - events.instant(began["time"])).total_seconds()
        for began, after in pairwise(said)
        if began["name"] == phase and after["name"] != FIRST_PHASE
    ]


def _quiet(run: Path) -> float:
    """Seconds since any process of the run said something, or since it was started."""
    said = (run / rundir.LAUNCH, run / rundir.PROCESS, run / rundir.EVENTS, *run.glob("output*.log"))
    return time.time() - max((path.stat().st_mtime for path in said if path.exists()), default=time.time())


def disk(total: int, free: int, bounds: Thresholds) -> Found:
    if free < min(bounds.disk_share * total, bounds.disk_bytes):
        return {"disk": f"The disk of the runs is nearly full: {free / 2**30:.1f} of {total / 2**30:.0f} GiB are free."}
    return {}


def _finite(column: Sequence[Any]) -> list[float]:
    return [value for value in _numbers(column) if math.isfinite(value)]


def _numbers(column: Sequence[Any]) -> list[float]:
    """What is there of a column; what is no finite number may come as its name."""
    return [float(value) for value in column if value is not None]
