"""The run folder: file names, who writes each, and whole-line reads from an offset.

    spec.json        launcher, once      what was asked (RunSpec, overrides, nonce)
    config.yaml      launcher, once      the config file as it was declared, byte for byte
    launch.json      recorder, once      command, host, process identity, provenance
    output.log       recorder, append    everything the trainer printed
    output.<n>.log   process n, append   what the other processes of a run printed; process 0 speaks in output.log
    stop.json        recorder, once      a stop was asked for; by who asks, where the recorder is gone
    kill.json        who asks, once      it shall end at once, with no time to save; written before it is killed
    exit.json        recorder, once      how the process ended
    lost.json        server, once        it saw that recorder and trainer are gone, and what was known of it then
    cancelled.json   launcher, once      the run was taken back before it started
    events.jsonl     trainer, append     the typed event log
    first_batch.jsonl, eval/, checkpoints/, tokenizer/, data/      trainer
    commit.json      recorder, once      git objects that prove the commit
    process.json     trainer, once       identity of its process, written before the trainer's program begins
    system.jsonl     recorder, append    what the run's processes use of the machine, every two seconds
    source/          trainer, once       the repository's files that were loaded
    preflight.json   launcher, once      the newest preflight's report of this very step, if there was one
    remote.json      trainer, replaced   of a run elsewhere: how its session stands, in a sentence
    platform/        trainer, replaced   of a run elsewhere: what the platform's API gave, and its own folder, run/
    platform.new/    trainer             the same of a session that is taken in, or that left no run
    rehearsal/       launcher, once      the config that this run rehearses, and the newest reports about its step
    profile/         trainer, once       a profiler's trace of a few steps, when one was asked for
    attempts/<n>/    recorder, once      launch, exit, stop, process and commit of an attempt that was resumed from
    witness.jsonl    server, append      its receipts: of the nonce it issued, and of the rows it saw
    alerts.jsonl     server, append      what its watchers noticed: when it began, and when it was over
    sealed.json      seal, per bundle    the bundles this run became
    labels.json      server, replaced    name, notes and tags that were given later, and whether it is archived
    resume.json      launcher, replaced  the run was asked to go on: the attempt that waits, until it is launched
    turn.json        launcher, replaced  whose turn it takes, or took, in the queue; its own where there is no such file
    trashed.json     server, once        when the run was moved to the trash, and how it stood

Whole documents are written beside their place and renamed into it, so a reader never sees half of one.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evidence import canonical
from evidence.spec import Override, RunSpec, parse

SPEC, CONFIG, LAUNCH, EVENTS, OUTPUT = "spec.json", "config.yaml", "launch.json", "events.jsonl", "output.log"
STOP, EXIT, CANCELLED, SEALED, CHECKPOINTS = "stop.json", "exit.json", "cancelled.json", "sealed.json", "checkpoints"
LOST = "lost.json"
PROCESS, COMMIT, RECORDER_LOG, ATTEMPTS = "process.json", "commit.json", "recorder.log", "attempts"
FIRST_BATCH, EVAL, TOKENIZER, PROFILE = "first_batch.jsonl", "eval", "tokenizer", "profile"
PREFLIGHT, WITNESS, SYSTEM, ALERTS = "preflight.json", "witness.jsonl", "system.jsonl", "alerts.jsonl"
LABELS, RESUME, TRASHED, REHEARSAL = "labels.json", "resume.json", "trashed.json", "rehearsal"
KILL, TURN = "kill.json", "turn.json"
REMOTE, PLATFORM, ARRIVING = "remote.json", "platform", "platform.new"

SCHEMA = "assay/run@1"
LABELS_SCHEMA = "assay/labels@1"
DRAFT = ".new-"
RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


@dataclass(frozen=True)
class Ask:
    """spec.json: one run as it was asked for. ``nonce`` is 64 hex digits drawn by the launcher."""

    run_id: str
    name: str
    created_at: str
    nonce: str
    config: str
    config_sha256: str
    overrides: tuple[Override, ...]
    spec: RunSpec
    notes: str = ""
    tags: tuple[str, ...] = ()
    launcher: str = "local"
    rehearses: str = ""
    """The config that this run rehearses, by its path in the repository; "" for none."""

    @property
    def spec_sha256(self) -> str:
        """Digest of the effective spec's canonical JSON."""
        return canonical.digest(self.spec.as_dict())


@dataclass(frozen=True)
class Rehearsed:
    """What a run keeps of the config that it rehearses: its path in the repository, and files for ``rehearsal/``."""

    config: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class Labels:
    """What a run is called and said of it: what ``spec.json`` has, until ``labels.json`` says otherwise."""

    name: str
    notes: str
    tags: tuple[str, ...]
    archived: bool = False


def create(
    root: Path,
    spec: RunSpec,
    *,
    config: str,
    config_text: str,
    overrides: tuple[Override, ...] = (),
    name: str = "",
    notes: str = "",
    tags: tuple[str, ...] = (),
    launcher: str = "local",
    preflight: Path | None = None,
    rehearsed: Rehearsed | None = None,
    witness: Callable[[Ask], str] = lambda _: "",
    run_id: str = "",
    nonce: str = "",
) -> Path:
    """A new run folder under ``root`` holding ``spec.json`` and ``config.yaml``. It appears whole or not at all.

    ``config`` is the declared config's path relative to the repository (or what it was called, if it has none);
    ``preflight`` a report of the same step, of which the run keeps a copy; ``witness`` says with which receipt it
    issues the nonce, "" for none. ``run_id`` and ``nonce``: those that somebody else gave the run already, "" for new
    ones; raises FileExistsError where there is a run of that id, ValueError where it is none.
    """
    root.mkdir(parents=True, exist_ok=True)
    moment, draft = claim(root, run_id) if run_id else reserve(root)
    ask = Ask(
        run_id=draft.name.removeprefix(DRAFT),
        name=name or spec.name,
        created_at=moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        nonce=nonce or secrets.token_hex(32),
        config=config,
        config_sha256=canonical.sha256(config_text.encode()),
        overrides=overrides,
        spec=spec,
        notes=notes,
        tags=tags,
        launcher=launcher,
        rehearses=rehearsed.config if rehearsed else "",
    )
    document = {"schema": SCHEMA, **asdict(ask)}
    (draft / CONFIG).write_text(config_text, encoding="utf-8", newline="")
    (draft / SPEC).write_text(canonical.pretty(document), encoding="utf-8")
    if preflight:
        shutil.copyfile(preflight, draft / PREFLIGHT)
    if rehearsed:
        (draft / REHEARSAL).mkdir()
        for file, content in rehearsed.files.items():
            (draft / REHEARSAL / file).write_bytes(content)
    if receipt := witness(ask):
        (draft / WITNESS).write_text(f"{receipt}\n", encoding="utf-8")
    return draft.rename(root / ask.run_id)


def reserve(root: Path) -> tuple[datetime, Path]:
    """A moment that nothing else of this folder was made at, and its draft: ids sort as they were asked for."""
    while True:
        moment = datetime.now(UTC)
        run_id = f"{moment:%Y%m%d-%H%M%S-%f}"
        try:
            (root / f"{DRAFT}{run_id}").mkdir()
        except FileExistsError:
            continue
        if not (root / run_id).exists():
            return moment, root / f"{DRAFT}{run_id}"
        (root / f"{DRAFT}{run_id}").rmdir()


def claim(root: Path, run_id: str) -> tuple[datetime, Path]:
    """As ``reserve``, for an id that was given elsewhere: it says itself at which moment.

    Raises FileExistsError or ValueError.
    """
    moment = datetime.strptime(run_id, "%Y%m%d-%H%M%S-%f").replace(tzinfo=UTC)
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(f"{run_id} is no run's id")
    draft = root / f"{DRAFT}{run_id}"
    draft.mkdir()
    if (root / run_id).exists():
        draft.rmdir()
        raise FileExistsError(f"there is a run {run_id} already")
    return moment, draft


def read_ask(run: Path) -> Ask:
    """The run's ``spec.json``. Raises OSError, JsonError or SpecError."""
    document = canonical.read(run / SPEC)
    if not isinstance(document, dict) or document.pop("schema", "") != SCHEMA:
        raise canonical.JsonError(f"{SPEC} is not of schema {SCHEMA}")
    try:
        return Ask(
            **{
                **document,
                "overrides": tuple(Override(**item) for item in document["overrides"]),
                "spec": parse(document["spec"]),
                "tags": tuple(document["tags"]),
            }
        )
    except (TypeError, KeyError) as error:
        raise canonical.JsonError(f"{SPEC}: {error}") from None


def read_labels(run: Path, ask: Ask) -> Labels:
    """What the run is called now. Raises JsonError for a broken ``labels.json``."""
    document = read_document(run / LABELS)
    if not document:
        return Labels(ask.name, ask.notes, ask.tags)
    if document.pop("schema", "") != LABELS_SCHEMA:
        raise canonical.JsonError(f"{LABELS} is not of schema {LABELS_SCHEMA}")
    try:
        labels = Labels(**{**document, "tags": tuple(document["tags"])})
    except (TypeError, KeyError) as error:
        raise canonical.JsonError(f"{LABELS}: {error}") from None
    texts = (labels.name, labels.notes, *labels.tags)
    if not all(isinstance(text, str) for text in texts) or not isinstance(labels.archived, bool):
        raise canonical.JsonError(f"{LABELS}: name, notes and tags must be texts, and archived true or false")
    return labels


def write_labels(run: Path, labels: Labels) -> None:
    write_document(run / LABELS, {"schema": LABELS_SCHEMA, **asdict(labels)})


def read_turn(run: Path) -> str:
    """What the run's place in the queue goes by: the id of the run whose turn it takes, its own unless it was moved."""
    try:
        turn = read_document(run / TURN).get("turn", "")
    except (canonical.JsonError, OSError):
        return run.name
    return turn if isinstance(turn, str) and RUN_ID.fullmatch(turn) else run.name


def folders(root: Path) -> list[Path]:
    """The run folders under ``root``, oldest first."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if RUN_ID.fullmatch(path.name) and (path / SPEC).is_file())


def write_document(path: Path, document: Any) -> None:
    """Write JSON at ``path`` so that a reader sees the old file or the new one, never half."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(canonical.pretty(document), encoding="utf-8")
    draft.replace(path)


def read_document(path: Path) -> dict[str, Any]:
    """A JSON object, or {} where there is no file. Raises JsonError for anything else."""
    try:
        document = canonical.read(path)
    except FileNotFoundError:
        return {}
    if not isinstance(document, dict):
        raise canonical.JsonError(f"{path.name} is not an object")
    return document


def came_back(run: Path) -> Path:
    """Of a run elsewhere: where its own folder lies once it has come back."""
    return run / PLATFORM / "run"


def written(run: Path) -> Path:
    """The folder that the run's trainer wrote: of a run elsewhere, the one that came back."""
    return found if (found := came_back(run)).is_dir() else run


def output_of(process: int) -> str:
    """The file that process ``process`` of a run prints to."""
    return f"output.{process}.log" if process else OUTPUT


def has_torn_line(path: Path) -> bool:
    """Whether the file's last line has no newline: its writer was killed while it wrote."""
    try:
        with path.open("rb") as stream:
            if not stream.seek(0, os.SEEK_END):
                return False
            stream.seek(-1, os.SEEK_END)
            return stream.read() != b"\n"
    except FileNotFoundError:
        return False


def whole_lines(path: Path, offset: int, limit_bytes: int = 1 << 22) -> tuple[list[bytes], int]:
    """The whole lines from byte ``offset`` on (about ``limit_bytes`` of them; -1: all), and the offset behind them.

    A last line without its newline is still being written and is left for the next read.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(limit_bytes)
            while data and b"\n" not in data and (more := stream.read(limit_bytes)):
                data += more
    except FileNotFoundError:
        return [], offset
    end = data.rfind(b"\n") + 1
    return data[:end].split(b"\n")[:-1], offset + end
