"""``python -m assay.session STEP FOLDER``: the steps of a rented session, which the notebook's cells call one by one.

``FOLDER/asked.json`` says what was asked. Each step leaves its facts in a file of FOLDER; ``finish`` reads those that
are there, packs ``assay_run.tar.gz`` and writes ``session.json``. A step that cannot go on, or breaks, does that, too,
before it ends with an exit code of its own: 1 it broke, 2 nothing could be run, 78 the machine is another one than was
asked for. ``finish`` ends with 0 where a run was packed, however that ended, and with 1 where it could not be.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from evidence import (
    attempts,
    bundle,
    canonical,
    config_file,
    events,
    provenance,
    reading,
    record,
    rehearsal,
    report,
    rundir,
    session,
    source_archive,
    typed,
)
from evidence.session import ARCHIVE, BUNDLE, DOCUMENT, MARK, RUN
from evidence.spec import Scalar, SpecError, resolve
from evidence.status import Status, status
from evidence.verify import verify

DONE, FAILED, REFUSED = 0, 1, 2
GRACE_SECONDS = 20 * 60
"""So long before the session's deadline a run is told to stop: it saves its state, and has to be sealed and packed."""
SAVE_SECONDS = 12 * 60
"""So much of that it has to save its state before it is killed: the submission's has 30 GB."""
OUTPUT_BYTES = 19 * 10**9
"""The platform keeps 20 GB of what a session leaves; what does not fit is said to be left out."""
GOES_ON = ("starting", "running", "stopping")
"""A run in one of these states has a process that may still write."""
FIXED = ("jax", "jaxlib", "libtpu")
"""What the platform's image brings for its own hardware, and nothing may replace."""


class CannotGoOn(RuntimeError):
    """The session ends here; ``code`` is its exit code."""

    def __init__(self, message: str, code: int = REFUSED) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Asked:
    """The notebook's parameters. Times in seconds since the epoch; ``work`` is what the platform keeps."""

    commit: str
    archive_sha256: str
    config: str
    overrides: dict[str, Scalar]
    run_name: str
    run_id: str
    nonce: str
    resume: bool
    require: str
    devices: int
    deadline_hours: float
    smoke: bool
    rehearses: str
    preflights: str
    started: float
    work: str
    input: str


class Session:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = Asked(**canonical.read(folder / "asked.json"))
        self.work = Path(self.asked.work)
        self.runs, self.bundles = folder / "runs", folder / "submission_runs"

    def has(self, name: str) -> Any:
        """A fact that an earlier step left; None where it did not."""
        path = self.folder / f"{name}.json"
        return canonical.read(path) if path.is_file() else None

    def keep(self, name: str, document: Any) -> None:
        rundir.write_document(self.folder / f"{name}.json", document)

    @property
    def run(self) -> Path | None:
        return next(iter(rundir.folders(self.runs)), None) if self.runs.is_dir() else None

    @property
    def spec_overrides(self) -> dict[str, Scalar]:
        return self.asked.overrides | {"device": self.asked.require}


def source(here: Session) -> None:
    """The unpacked files are those of the commit that they name, and of the one that was asked for."""
    try:
        proven = source_archive.prove(provenance.REPOSITORY, here.asked.commit)
    except source_archive.NotTheSource as error:
        raise CannotGoOn(str(error)) from None
    digest = here.asked.archive_sha256
    came_as = session.FromArchive("archive", digest) if digest else session.FromFolder("folder")
    here.keep("source", typed.write(session.Source(proven["commit"], proven["tree"], came_as)))
    print(f"Proven: every file is the one of commit {proven['commit']}")


def install(_: Session) -> None:
    """What the trainer needs and is not there, with the platform's own jax left alone."""
    project = tomllib.loads((provenance.REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    fixed = [f"{name}=={version}" for name in FIXED if (version := _version(name))]
    names = {item.partition("==")[0] for item in fixed}
    wanted = [item for item in wanted if re.split(r"[^\w-]", item)[0] not in names]
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade-strategy", "only-if-needed"]
    done = subprocess.run([sys.executable, *words, *wanted, *fixed])
    if done.returncode:
        raise CannotGoOn("packages are missing, and pip could not install them; is the session's internet switched on?")
    print("Packages: " + ", ".join(f"{name} {_version(name)}" for name in ("jax", "flax", "optax", "transformers")))


def hardware(here: Session) -> None:
    """The machine is the one that was asked for, or nothing is trained on it."""
    proof = here.folder / "hardware.json"
    words = ["--require", here.asked.require, "--devices", str(here.asked.devices), "--out", str(proof)]
    code = subprocess.run([sys.executable, "-m", "training.prove_hardware", *words]).returncode
    if code == session.WRONG_HARDWARE:
        raise CannotGoOn("this is not the machine that was asked for; nothing was trained", code)
    if code:
        raise CannotGoOn(f"the proof of the hardware ended with exit code {code}, so nothing was trained", code)


def inputs(here: Session) -> None:
    """Weights, tokenizer and data are there; data that are attached are laid where the config expects them."""
    try:
        spec, _ = resolve(config_file.load(provenance.REPOSITORY / here.asked.config)[0], here.spec_overrides)
    except SpecError as error:
        raise CannotGoOn(str(error)) from None
    for asked in (spec.data.train_path, spec.data.eval_path):
        if asked and not (provenance.REPOSITORY / asked).is_file():
            _attach(Path(here.asked.input), asked)
    settings = [f"--set={key}={value}" for key, value in here.spec_overrides.items()]
    words = [sys.executable, "-m", "training.inputs", here.asked.config, *settings]
    if subprocess.run(words, cwd=provenance.REPOSITORY).returncode:
        raise CannotGoOn("weights, tokenizer or data are not there")


def train(here: Session) -> None:
    """One run, under the recorder, whose output is this session's log. Before the deadline it is told to stop."""
    asked = here.asked
    run = _resumed(here) if asked.resume else _created(here)
    print(f"Run {run.name}", flush=True)
    os.environ.setdefault("ASSAY_STOP_GRACE", str(SAVE_SECONDS))
    _launch(run, resume=asked.resume)
    stop_at = asked.started + asked.deadline_hours * 3600 - GRACE_SECONDS
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: record.request_stop(run))
    told, whole = False, True
    for piece in _output(run):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        whole = piece.endswith(b"\n") if piece else whole
        # A line of ours in the middle of one of the run's would garble an event.
        if time.time() > stop_at and whole and not told and (told := record.request_stop(run)):
            print("Told to stop: the session's time is nearly over", flush=True)
    now = _state(run)
    if not whole:
        print()
    print(f"{now.state.capitalize()}{f': {now.reason}' if now.reason else ''}")


def seal(here: Session) -> None:
    """The bundle of the run, however it ended; what keeps it from being sealed is said, and the run is packed still."""
    run = here.run
    if run is None:
        raise CannotGoOn("there is no run to seal")
    try:
        place = bundle.seal(run, here.bundles, here.asked.run_name)
    except (bundle.SealRefused, ValueError, OSError) as error:
        because = " ".join(str(error).split())[:500]
        here.keep("bundle", typed.write(session.NotSealed("not_sealed", because)))
        print(f"Not sealed: {because}")
        return
    verdict = verify(place)
    said = report.report(place, verdict).sentence
    seal = canonical.sha256_file(place / reading.SUMS)
    told = session.Sealed("sealed", place.name, seal, verdict.valid, said, verdict.level)
    here.keep("bundle", typed.write(told))
    print(f"Sealed {place.name} ({verdict.level}), seal {seal}")
    print(said)


def finish(here: Session, because: str = "") -> int:
    """Pack what there is, write and print session.json; the session's exit code. ``because``: why it ended early."""
    run, asked = here.run, here.asked
    if (proven := here.has("source")) is None:
        print(f"Error: {because or 'the source was not proven'}; there is no session.json of an unknown source")
        return REFUSED
    reason = " ".join(because.split())[:500] or "the session did not get that far"
    state = _ended(run) if run else None
    sealed = here.has("bundle")
    document = session.Session(
        schema=session.SCHEMA,
        smoke=asked.smoke,
        started_at=_utc(asked.started),
        ended_at=events.now(),
        platform=session.platform(),
        source=typed.read(session.Source, proven),
        hardware=_hardware(here, reason),
        run=session.Trained("run", run.name, state.state, state.reason or "it did all its steps")
        if run and state
        else session.NoRun("no_run", reason),
        bundle=_told(sealed) if sealed else session.NotSealed("not_sealed", reason),
        output=_packed(here, run) if run else session.NotPacked("not_packed", reason),
    )
    written = typed.write(document)
    rundir.write_document(here.work / DOCUMENT, written)
    print(MARK + canonical.encode(written), flush=True)
    if state is None:
        return REFUSED
    # What is packed tells how its run ended; a notebook that fails might not be allowed to keep it.
    return DONE if isinstance(document.output, session.Packed) else FAILED


STEPS: dict[str, Callable[[Session], int | None]] = {
    "source": source, "install": install, "hardware": hardware, "inputs": inputs, "train": train, "seal": seal,
    "finish": finish,
}  # fmt: skip


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m assay.session", description="One step of a rented session.")
    parser.add_argument("step", choices=tuple(STEPS))
    parser.add_argument("folder", type=Path, help="the session's folder, with asked.json in it")
    options = parser.parse_args(arguments)
    name = options.step
    try:
        here = Session(options.folder)
    except (OSError, TypeError, ValueError) as error:
        print(f"Error: {options.folder / 'asked.json'} does not say what is asked: {error}", file=sys.stderr)
        return REFUSED
    try:
        return STEPS[name](here) or DONE
    except CannotGoOn as error:
        print(f"Error: {error}", flush=True)
        finish(here, str(error))
        return error.code
    except BaseException as error:
        if name != "finish":
            finish(here, f"the step {name} broke: {type(error).__name__}: {error}")
        raise


def _created(here: Session) -> Path:
    asked = here.asked
    config = provenance.REPOSITORY / asked.config
    try:
        document, text = config_file.load(config)
        spec, changed = resolve(document, here.spec_overrides)
        rehearsed = None
        if asked.rehearses:
            path = provenance.REPOSITORY / asked.rehearses
            rehearsed = rehearsal.asked(path, provenance.config_name(path), Path(asked.preflights or "preflights"))
            reports = ", ".join(name for name in rehearsed.files if name.endswith(".json"))
            print(f"A rehearsal of {rehearsed.config}, with {reports or 'no preflight of its step'}", flush=True)
        return rundir.create(
            here.runs,
            spec,
            config=provenance.config_name(config),
            config_text=text,
            overrides=changed,
            name=asked.run_name,
            launcher="local" if asked.smoke else "kaggle",
            run_id=asked.run_id,
            nonce=asked.nonce,
            rehearsed=rehearsed,
        )
    except (SpecError, FileExistsError, ValueError) as error:
        raise CannotGoOn(str(error)) from None


def _resumed(here: Session) -> Path:
    """The run that an earlier session left, unpacked, if it can go on."""
    found = sorted(Path(here.asked.input).rglob(ARCHIVE))
    if not found:
        raise CannotGoOn(f"there is no {ARCHIVE} of an earlier session; attach its output")
    kept = here.folder / "kept"
    try:
        with tarfile.open(found[0]) as tar:
            tar.extractall(kept, filter="data")
        ask = rundir.read_ask(kept / RUN)
        here.runs.mkdir(exist_ok=True)
        run = (kept / RUN).rename(here.runs / ask.run_id)
        attempts.check(run)
    except (tarfile.TarError, OSError, ValueError, attempts.CannotResume) as error:
        raise CannotGoOn(f"the run in {found[0].name} cannot go on: {error}") from None
    return run


def _launch(run: Path, *, resume: bool) -> None:
    """Start the recorder, and wait until it has claimed the run: before that, the folder says how the attempt before
    has ended, or that there was none. Raises CannotGoOn."""
    before = rundir.read_document(run / rundir.LAUNCH)
    recorder = record.launch(run, [sys.executable, "-m", "training", str(run)], resume=resume)
    while recorder.poll() is None and rundir.read_document(run / rundir.LAUNCH) == before:
        time.sleep(0.05)
    if rundir.read_document(run / rundir.LAUNCH) == before:
        why = (run / rundir.RECORDER_LOG).read_text(encoding="utf-8", errors="replace").strip()[-500:]
        raise CannotGoOn(f"the recorder did not start the trainer: {why or f'it ended with {recorder.returncode}'}")


def _output(run: Path) -> Iterator[bytes]:
    """The run's output as it comes, to its end; an empty piece now and then while nothing comes."""
    path, offset = run / rundir.OUTPUT, 0
    while True:
        ended = status(run, None).state not in GOES_ON  # whether it goes on does not hang on its last word
        if path.exists():
            with path.open("rb") as stream:
                stream.seek(offset)
                while piece := stream.read(1 << 16):
                    offset += len(piece)
                    yield piece
        if ended:
            return
        yield b""
        time.sleep(0.1)


def _ended(run: Path) -> Status:
    """How the run stands once nothing of it goes on: what broke the session may have left its trainer behind."""
    if (now := _state(run)).state in GOES_ON and record.request_stop(run):
        while (now := _state(run)).state in GOES_ON:
            time.sleep(0.1)
    return now


def _state(run: Path) -> Status:
    return status(run, attempts.last(attempts.told(run, whole=False), events.Finished))


def _attach(attached: Path, asked: str) -> None:
    """Copy the file of this name that is attached, the one in a folder of the same name first."""
    wanted = Path(asked)
    found = sorted(attached.rglob(wanted.name)) if attached.is_dir() else []
    near = [path for path in found if path.parent.name == wanted.parent.name] or found
    if not near:
        raise CannotGoOn(f"{asked} is not there: attach a dataset that holds {wanted.parent.name}/{wanted.name}")
    if len(near) > 1:
        names = ", ".join(path.relative_to(attached).as_posix() for path in near[:5])
        raise CannotGoOn(f"{asked} could be any of {names}: attach one of them")
    place = provenance.REPOSITORY / wanted
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(near[0], place)
    print(f"Data: {near[0].relative_to(attached).as_posix()} for {asked}")


def _packed(here: Session, run: Path) -> session.Packed | session.NotPacked:
    """The run and its bundle in one archive, or why there is none (the disk may be full)."""
    try:
        return _archive(here, run)
    except OSError as error:
        (here.work / ARCHIVE).unlink(missing_ok=True)
        return session.NotPacked("not_packed", f"{ARCHIVE} could not be written: {error.strerror or error}")


def _archive(here: Session, run: Path) -> session.Packed:
    """Saved states that have no room are left out, the oldest first."""
    room, left_out, out = OUTPUT_BYTES, [], set()
    states = sorted((run / "checkpoints").iterdir(), reverse=True) if (run / "checkpoints").is_dir() else []
    sealed = here.bundles / here.asked.run_name
    room -= _size(run) - sum(map(_size, states)) + _size(sealed)
    for state in states:
        room -= _size(state)
        if room < 0:
            room += _size(state)
            out.add(state)
            because = f"what is kept of a session is at most {OUTPUT_BYTES:,} bytes"
            left_out.append(session.LeftOut(state.relative_to(run).as_posix(), _size(state), because))
    path = here.work / ARCHIVE
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for folder, name in ((run, RUN), (sealed, BUNDLE)):
            for file in sorted(folder.rglob("*")):
                if file.is_file() and not out & {file, *file.parents}:
                    tar.add(file, f"{name}/{file.relative_to(folder).as_posix()}", recursive=False, filter=_nobody)
    return session.Packed("packed", ARCHIVE, canonical.sha256_file(path), path.stat().st_size, left_out)


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _size(folder: Path) -> int:
    files = [folder] if folder.is_file() else folder.rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())


def _hardware(here: Session, reason: str) -> session.Proven | session.Refused | session.NotReached:
    told = here.has("hardware")
    if told is None:
        return session.NotReached("not_reached", reason)
    return typed.read(session.Proven if told["kind"] == "proven" else session.Refused, told)  # type: ignore[no-any-return]


def _told(sealed: dict[str, Any]) -> session.Sealed | session.NotSealed:
    return typed.read(session.Sealed if sealed["kind"] == "sealed" else session.NotSealed, sealed)  # type: ignore[no-any-return]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


if __name__ == "__main__":
    os.chdir(provenance.REPOSITORY)
    sys.exit(main(sys.argv[1:]))
