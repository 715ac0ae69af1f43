"""A bundle as it lies on disk, read lazily and without trust: nothing is executed, no link is followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evidence import attempts, canonical, events, rehearsal, typed
from evidence.known import Known
from evidence.manifest import (
    EARLY_MANIFEST_SCHEMA,
    Completed,
    EarlyManifest,
    EarlySummary,
    EvalSummary,
    File,
    RunManifest,
)

MANIFEST, SUMMARY, LOG = "run_manifest.json", "eval_summary.json", "kaggle_output_log.txt"
METRICS, EVENTS, SAMPLES, README, SUMS = (
    "metrics.jsonl",
    "events.jsonl",
    "samples.jsonl",
    "README.md",
    "MANIFEST.sha256",
)
REQUIRED_FILES = (README, MANIFEST, SUMMARY, LOG, METRICS, EVENTS, SUMS)
REQUIRED_FOLDERS = ("config", "source", "environment", "data", "eval", "checkpoints")
PREFLIGHT, CRATE = "preflight.json", "ro-crate-metadata.json"
PREDICTIONS = "eval/predictions.jsonl"
REPLAY = "replay/result.json"
NOTEBOOK, PLATFORM_LOG, SESSION = "kaggle/notebook.ipynb", "kaggle/log.json", "kaggle/session.json"
RECEIPTS = "witness/receipts.jsonl"
BESIDE_THE_SEAL = ("attestations", "replay")
"""Folders of statements about the sealed bytes: what is said of a seal cannot lie beneath it."""
EARLY_FILES = (README, MANIFEST, SUMMARY, LOG, CRATE, SUMS)
EARLY_FOLDERS = ("config", "environment")
"""What a bundle has of a run that ended before its first row."""
OPTIONAL = (SAMPLES, PREFLIGHT, CRATE, "tokenizer", "witness", "rehearsal", "kaggle", *BESIDE_THE_SEAL)
EARLY_OPTIONAL = (EVENTS, "source", "witness", "kaggle", *BESIDE_THE_SEAL)

Names = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
NAMES: Names = (REQUIRED_FILES, REQUIRED_FOLDERS, OPTIONAL)
EARLY_NAMES: Names = (EARLY_FILES, EARLY_FOLDERS, EARLY_OPTIONAL)
"""What stands at the top of a bundle: files and folders that must, and what else may."""


class Unreadable(ValueError):
    """A check cannot run because a file it needs is missing or broken; another check has the finding."""


MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What reading a hostile bundle may raise, Unreadable among it: values of a shape that no trainer writes. A check has
the finding, so whoever only shows the bundle leaves out what cannot be read."""


class Bundle:
    """Everything a check may ask of the folder at ``path``, and of its verifier. Properties raise Unreadable."""

    def __init__(self, path: Path, known: Known | None = None) -> None:
        self.path = path
        self.known = known or Known()

    @cached_property
    def entries(self) -> dict[str, os.stat_result]:
        """Every file, link and folder below the bundle by relative POSIX path; links are not followed."""
        return dict(_walk(self.path))

    @cached_property
    def files(self) -> list[str]:
        """Regular files by relative POSIX path, sorted."""
        return sorted(name for name, facts in self.entries.items() if stat.S_ISREG(facts.st_mode))

    @property
    def sealed_files(self) -> list[str]:
        """The files that MANIFEST.sha256 lists."""
        return [name for name in self.files if name != SUMS and name.partition("/")[0] not in BESIDE_THE_SEAL]

    @property
    def seal(self) -> str:
        """SHA-256 of MANIFEST.sha256: one digest of the sealed bytes and their names."""
        return self.sha256(SUMS)

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {}

    def sha256(self, name: str) -> str:
        """Digest of a regular file of the bundle. Raises Unreadable."""
        if name not in self._digests:
            self._digests[name] = canonical.sha256(self.bytes(name))
        return self._digests[name]

    def bytes(self, name: str) -> bytes:
        if not typed.is_inner(name) or name not in self.entries or not stat.S_ISREG(self.entries[name].st_mode):
            raise Unreadable(f"{name} is not a file of this bundle")
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise Unreadable(f"{name}: {error.strerror}") from None

    def text(self, name: str) -> str:
        try:
            return self.bytes(name).decode("utf-8")
        except UnicodeDecodeError:
            raise Unreadable(f"{name} is not UTF-8 text") from None

    def document(self, name: str) -> Any:
        try:
            return canonical.decode(self.bytes(name))
        except canonical.JsonError as error:
            raise Unreadable(f"{name}: {error}") from None

    def lines(self, name: str) -> list[Any]:
        """The documents of a JSON Lines file."""
        try:
            return [canonical.decode(line) for line in self.text(name).split("\n") if line]
        except canonical.JsonError as error:
            raise Unreadable(f"{name}: {error}") from None

    @cached_property
    def early(self) -> bool:
        """Whether this tells of a run that ended before its first row."""
        try:
            document = self.document(MANIFEST)
        except Unreadable:
            return False
        return isinstance(document, dict) and document.get("schema") == EARLY_MANIFEST_SCHEMA

    @cached_property
    def told(self) -> RunManifest | EarlyManifest:
        """The manifest, of either shape."""
        return self._typed(EarlyManifest, MANIFEST) if self.early else self.manifest

    @cached_property
    def summed_up(self) -> EvalSummary | EarlySummary:
        """The summary, of either shape."""
        return self._typed(EarlySummary, SUMMARY) if self.early else self.summary

    @property
    def silent(self) -> bool:
        """Whether the run's last attempt ended without a last word: it was killed, and does not claim to be whole."""
        if isinstance(self.told.run.outcome, Completed):
            return False
        return not self.attempts or not any(isinstance(event, events.Finished) for event in self.attempts[-1])

    @cached_property
    def manifest(self) -> RunManifest:
        """Of a run with rows."""
        return self._typed(RunManifest, MANIFEST)  # type: ignore[no-any-return]

    @cached_property
    def summary(self) -> EvalSummary:
        return self._typed(EvalSummary, SUMMARY)  # type: ignore[no-any-return]

    @cached_property
    def rehearsal(self) -> rehearsal.Rehearsal | None:
        """What this run rehearsed, where it did."""
        if rehearsal.DOCUMENT not in self.files or self.early:
            return None
        return self._typed(rehearsal.Rehearsal, rehearsal.DOCUMENT)  # type: ignore[no-any-return]

    @cached_property
    def rows(self) -> list[events.Step]:
        """The metrics rows."""
        found = self._events(METRICS)
        if not found or not all(isinstance(row, events.Step) for row in found):
            raise Unreadable(f"{METRICS} holds no rows, or lines that are no rows")
        return found  # type: ignore[return-value]

    @cached_property
    def all_events(self) -> list[events.Event]:
        """Every line of the event log that is neither a row nor a sample."""
        if self.early and EVENTS not in self.files:
            return []  # it never spoke
        return self._events(EVENTS)

    @cached_property
    def log_lines(self) -> list[str]:
        return self.text(LOG).split("\n")[:-1]

    @cached_property
    def attempts(self) -> list[list[events.Event]]:
        """``all_events``, an attempt each."""
        return attempts.split(self.all_events, (isinstance(event, events.RunStart) for event in self.all_events))

    @cached_property
    def standing(self) -> list[events.Event]:
        """``all_events`` without what a later attempt took back."""
        return [event for _, event in attempts.standing((event, event) for event in self.all_events)]

    @cached_property
    def spoken(self) -> list[tuple[int, str, events.Event]]:
        """The events that the log repeats: the number of each line, its text behind the mark, and the event.

        Half a line is left out where an attempt was killed while it wrote: the next one starts right behind it.
        """
        found: list[tuple[int, str, events.Event]] = []
        torn = ""
        for number, marked in enumerate(self.log_lines, 1):
            if not marked.startswith(events.LOG_MARK):
                continue
            line = marked.removeprefix(events.LOG_MARK)
            try:
                event = events.decode(line)
            except events.EventError as error:
                event, why = None, f"line {number} of {LOG} repeats what is no event: {error}"
            if torn and not isinstance(event, events.RunStart):
                raise Unreadable(torn)
            torn = "" if event else why
            if event:
                found.append((number, line, event))
        if torn and not self.silent:
            raise Unreadable(torn)
        return found

    def event(self, cls: type[events.Event]) -> Any:
        """The one event of this kind (the last, where a run may have several)."""
        found = [event for event in self.all_events if isinstance(event, cls)]
        if not found:
            raise Unreadable(f"{EVENTS} has no {cls.kind} event")
        return found[-1]

    def references(self) -> Iterator[tuple[str, File]]:
        """Every file that the documents point at, and where they do."""
        documents: list[tuple[str, object]] = [(MANIFEST, self.told), (SUMMARY, self.summed_up)]
        if self.rehearsal:
            documents.append((rehearsal.DOCUMENT, self.rehearsal))
        for name, document in documents:
            for where, file in _files_in(document, "$"):
                yield f"{name}: {where}", file

    def _typed(self, cls: type, name: str) -> Any:
        try:
            return typed.read(cls, self.document(name))
        except typed.WrongDocument:
            raise Unreadable(f"{name} does not follow its schema") from None

    def _events(self, name: str) -> list[events.Event]:
        try:
            return [events.decode(line) for line in self.text(name).split("\n") if line]
        except events.EventError as error:
            raise Unreadable(f"{name}: {error}") from None


def quote(log: str, message: str) -> tuple[int, str] | None:
    """The last line of a log in which ``message`` stands, and its number: one for people before an event's."""
    lines = [(number, line) for number, line in enumerate(log.split("\n")[:-1], 1) if message and message in line]
    spoken = [item for item in lines if not item[1].startswith(events.LOG_MARK)]
    found = (spoken or lines)[-1:]
    return (found[0][0], found[0][1].strip()) if found and found[0][1].strip() else None


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """However deep; a folder that cannot be looked into has nothing in it."""
    waiting = [(str(root), "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                found = [(entry.path, prefix + entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        except OSError:
            continue
        for path, name, facts in found:
            yield name, facts
            if stat.S_ISDIR(facts.st_mode):
                waiting.append((path, f"{name}/"))


def _files_in(value: Any, where: str) -> Iterator[tuple[str, File]]:
    if isinstance(value, File):
        yield where, value
    elif is_dataclass(value):
        for item in fields(value):
            yield from _files_in(getattr(value, item.name), f"{where}.{item.name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _files_in(item, f"{where}[{index}]")
