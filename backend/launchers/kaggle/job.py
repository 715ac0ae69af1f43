"""``python -m backend.launchers.kaggle.job RUN``: one run's session at Kaggle, from the push to what it left.

What is known stands in ``remote.json``; whoever starts the job again goes on from there and pushes nothing twice. The
session's log is this process's output, and its events are appended to the run's own as they come. Exit codes are the
trainer's: 0 finished, 1 failed, 2 nothing could be run, 75 stopped here while the session may go on there.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from backend.launchers.kaggle import client as kaggle
from backend.launchers.kaggle import collect, credentials
from backend.launchers.kaggle.client import (
    Client,
    Forbidden,
    KaggleError,
    Kernel,
    Missing,
    NotKaggle,
    Pushed,
    Quota,
    TooMany,
    Troubled,
    Unauthorized,
    Unreachable,
)
from evidence import canonical, endpoints, events, notebook, provenance, rundir, session, source_archive

SCHEMA = "assay/remote@1"
DONE, FAILED, REFUSED, STOPPED = 0, 1, 2, 75
SESSION_HOURS = 9.0
DEADLINE_HOURS = 8.5
SHAPES = {"tpu": ("TpuV5E8", 8), "cpu": ("", 1)}
"""Of each device that a session is asked for: the platform's word for the machine, and how many devices it has."""
POLL_SECONDS, LONGEST_PAUSE, WORD_SECONDS = 20.0, 300.0, 240.0
"""Between two looks; at most, when Kaggle cannot be asked; and between two lines of this job's own in the log."""
LARGEST_NOTEBOOK = 1_000_000
"""Bytes of a notebook that Kaggle takes; the source is inside."""
STALE_POLLS = 6
"""So often may Kaggle say of a session that it is over, and give no output or another's, before that is believed."""

WAITS = {"QUEUED", "NEW_SCRIPT"}
RUNS = {"RUNNING"}
CANCELS = {"CANCEL_REQUESTED"}
OVER = {"COMPLETE", "ERROR", "CANCEL_ACKNOWLEDGED"}


class Ended(RuntimeError):
    """The job is over; the message is its last word, ``code`` its exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Remote:
    """``remote.json``. ``version`` 0: not pushed yet, or not known to be (``pushing``). ``heard``: pieces of the log
    that were written down. ``collected``: that session is done with, and going on takes a new one. ``resume``: a
    session goes on with what an earlier one left."""

    says: str = ""
    endpoint: str = ""
    slug: str = ""
    url: str = ""
    version: int = 0
    kernel_id: int = 0
    pushing: bool = False
    pushed_at: str = ""
    heard: int = 0
    collected: bool = False
    resume: bool = False
    schema: str = SCHEMA


class Job:
    def __init__(self, run: Path) -> None:
        self.run, self.ask = run, rundir.read_ask(run)
        document = rundir.read_document(run / rundir.REMOTE)
        self.remote = Remote(**document) if document else Remote()
        self.poll = float(os.environ.get("ASSAY_KAGGLE_POLL", POLL_SECONDS))
        self.failures, self.stale = 0, 0
        self.spoke = time.monotonic()
        self._from_the_start()
        self._read_known()

    def main(self) -> int:
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            account = credentials.read(os.environ, Path.home())
            with Client(account.find(), account.endpoint, read_seconds=max(5.0, 3 * self.poll)) as client:
                return self._main(client)
        except credentials.NoCredentials as error:
            self.say(f"No run was started: {error}.")
            print(f"Error: {error}", flush=True)
            return REFUSED
        except Ended as error:
            self.say(str(error))
            print(f"Error: {error}" if error.code in (FAILED, REFUSED) else str(error), flush=True)
            return error.code
        except KeyboardInterrupt:
            self.say(self._may_go_on())
            print(self.remote.says, flush=True)
            return STOPPED

    def _main(self, client: Client) -> int:
        if self.remote.collected:  # it came back unfinished, and shall go on in a new session
            self.keep(version=0, collected=False, pushing=False, heard=0, resume=True)
            collect.take_back(self.run, rundir.came_back(self.run))
            self._read_known()
        if not self.remote.version:
            self._push(client)
        while True:
            try:
                if (word := self._look(client)) in OVER:
                    return self._collect(client, word)
                self.failures = 0
            except Unauthorized as error:
                raise Ended(
                    f"{error} The session goes on at {self.remote.url}; resume this run to go on watching."
                ) from None
            except KaggleError as error:
                if isinstance(error, Missing) and self.failures >= STALE_POLLS:
                    raise Ended(f"{error} The notebook may have been deleted; what was heard of it is kept.") from None
                self._wait_out(error)
                continue
            time.sleep(self.poll)

    # What is written down.

    def _read_known(self) -> None:
        lines, _ = rundir.whole_lines(self.run / rundir.EVENTS, 0, limit_bytes=-1)
        self.known = [line.decode("utf-8", "replace") for line in lines]

    def keep(self, **changes: Any) -> None:
        self.remote = replace(self.remote, **changes)
        rundir.write_document(self.run / rundir.REMOTE, asdict(self.remote))

    def say(self, sentence: str) -> None:
        """The sentence that people read while this run goes on, or of how it ended."""
        if sentence != self.remote.says:
            self.keep(says=sentence)
        if time.monotonic() > self.spoke + WORD_SECONDS:  # a session may wait for hours, and this run is no dead one
            self.spoke = time.monotonic()
            print(sentence, flush=True)

    # The push.

    def _push(self, client: Client) -> None:
        spec = self.ask.spec
        if spec.device not in SHAPES:
            raise Ended(
                f"launcher kaggle lends a tpu or a cpu, and device is {spec.device}; set device to tpu", REFUSED
            )
        shape, devices = SHAPES[spec.device]
        self.say("Asking Kaggle.")
        owner = self._patiently(client.owner)
        slug = f"{owner}/assay-{_plain(self.ask.name)}"
        self.keep(endpoint=client.endpoint, slug=slug)
        if self.remote.pushing and (version := self._patiently(lambda: self._pushed_before(client, slug))):
            self._note(client, slug, version, 0)
            return
        if shape:
            self._have_quota(client)
        kernel = Kernel(
            slug=slug,
            title=slug.partition("/")[2].replace("-", " "),
            notebook=self._notebook(devices),
            machine_shape=shape,
            timeout_seconds=int(SESSION_HOURS * 3600),
            models=(spec.weights.handle,) if spec.weights.source == "kaggle" else (),
            datasets=tuple(item for item in os.environ.get("ASSAY_KAGGLE_DATASETS", "").split(",") if item),
            kernels=(slug,) if self.remote.resume else (),
        )
        self.keep(pushing=True)
        while (pushed := self._pushed(client, kernel)) is None:
            pass
        self._note(client, pushed.ref or slug, pushed.version, pushed.kernel_id)
        if pushed.not_attached:
            names = ", ".join(pushed.not_attached)
            raise Ended(
                f"Kaggle did not attach {names}: accept its licence on Kaggle with this account, then start the run "
                f"again. The session that was started will end by itself: {self.remote.url}"
            )

    def _pushed(self, client: Client, kernel: Kernel) -> Pushed | None:
        """The version that Kaggle took; None where it has to be asked again. Raises Ended for a refusal."""
        try:
            pushed = client.push(kernel)
        except TooMany as error:
            self._wait_out(error)
            return None
        except (Unreachable, Troubled, NotKaggle) as error:
            # Nobody knows whether it was taken: look before it is pushed again.
            self._wait_out(error)
            version = self._patiently(lambda: self._pushed_before(client, kernel.slug))
            return Pushed(kernel.slug, "", version, 0) if version else None
        except KaggleError as error:
            self.keep(pushing=False)
            raise Ended(f"Kaggle did not take the notebook: {error}", REFUSED) from None
        self.failures = 0
        if pushed.error and not _busy(pushed.error):
            self.keep(pushing=False)
            raise Ended(f"Kaggle did not take the notebook: {pushed.error}{_advice(pushed.error)}", REFUSED)
        if pushed.error:
            self.say(f"Waits for Kaggle, which runs one such session at a time: {pushed.error}")
            time.sleep(self.poll)
            return None
        return pushed

    def _note(self, client: Client, slug: str, version: int, kernel_id: int) -> None:
        own = client.endpoint == endpoints.KAGGLE
        site = "https://www.kaggle.com" if own else client.endpoint.removesuffix("/api")
        url = f"{site}/code/{slug}"
        self.keep(
            slug=slug, version=version, kernel_id=kernel_id, url=url, pushing=False, pushed_at=events.now(), heard=0
        )
        print(f"Pushed version {version} of {slug}: {url}", flush=True)

    def _pushed_before(self, client: Client, slug: str) -> int:
        """The version of the notebook that carries this run's id and nonce; 0 where the newest one does not."""
        try:
            found = client.find(slug)
        except (Missing, Forbidden):
            return 0
        ours = self.ask.run_id in found.source and self.ask.nonce in found.source
        return found.version if ours and ("RESUME = True" in found.source) == self.remote.resume else 0

    def _notebook(self, devices: int) -> bytes:
        try:
            archive = source_archive.pack()
        except source_archive.CannotPack as error:
            raise Ended(f"the source cannot be sent: {error}", REFUSED) from None
        if not (provenance.REPOSITORY / self.ask.config).is_file():
            raise Ended(f"{self.ask.config} is not a config of the repository, and only those are sent along", REFUSED)
        parameters = notebook.pinned(
            archive,
            embed=True,
            config=self.ask.config,
            overrides={item.key: item.effective for item in self.ask.overrides},
            run_name=self.ask.name,
            run_id=self.ask.run_id,
            nonce=self.ask.nonce,
            resume=self.remote.resume,
            require=self.ask.spec.device,
            devices=devices,
            deadline_hours=DEADLINE_HOURS,
        )
        made = notebook.build(parameters)
        if len(made) > LARGEST_NOTEBOOK:
            raise Ended(
                f"the notebook has {len(made):,} bytes with its source; Kaggle takes {LARGEST_NOTEBOOK:,}", REFUSED
            )
        return made

    def _have_quota(self, client: Client) -> None:
        quota = self._patiently(lambda: _quota(client))
        if quota and quota.left < 600:
            used, allowed = quota.used / 3600, quota.allowed / 3600
            again = f"; the next week begins at {quota.renewed_at}" if quota.renewed_at else ""
            raise Ended(f"this week's TPU time is spent: {used:.1f} of {allowed:.1f} hours are used{again}", REFUSED)

    # The session.

    def _look(self, client: Client) -> str:
        """How the session stands, after everything that it said since was written down."""
        slug, version = self.remote.slug, self.remote.version
        found = client.session(slug, version)
        word = found.status.upper().rpartition(".")[2]
        since = self.remote.pushed_at[11:16]
        if word in WAITS:
            self.say(f"Queued at Kaggle since {since} UTC, as version {version} of {slug}: {self.remote.url}")
        elif word in RUNS:
            self.say(f"Runs at Kaggle: version {version} of {slug}, pushed at {since} UTC: {self.remote.url}")
            self._hear(client)
        elif word in CANCELS:
            self.say("Kaggle was asked to end the session, and has not yet.")
        elif word not in OVER:
            self.say(f"Kaggle says {found.status[:40]!r}, a state that is not known here; it is watched on.")
        elif word != "COMPLETE":
            self.say(f"Kaggle ended the session ({word}){f': {found.failure}' if found.failure else ''}.")
        return word

    def _hear(self, client: Client) -> None:
        """The log as it is written. It always comes from its beginning: what was written down already is left out."""
        self._from_the_start()
        try:
            for number, piece in enumerate(client.log(self.remote.slug, self.remote.version)):
                self._hear_piece(number, piece)
        except (Unreachable, Missing):
            return  # nothing came for a while, or there is no log yet

    def _from_the_start(self) -> None:
        """The log is read from its beginning. ``torn``: of each of its streams, the line that has no end yet."""
        self.torn: dict[str, str] = {}
        self.lines, self.garbled = 0, False

    def _hear_piece(self, number: int, piece: dict[str, Any]) -> None:
        text, stream = str(piece.get("data", "")), str(piece.get("stream_name", ""))
        *whole, self.torn[stream] = (self.torn.get(stream, "") + text).split("\n")
        for line in whole:
            if line.startswith(events.LOG_MARK) and not self.garbled:
                self._hear_event(line.removeprefix(events.LOG_MARK).rstrip("\r"))
        if number >= self.remote.heard:
            print(text, end="", flush=True)
            self.keep(heard=number + 1)

    def _hear_event(self, said: str) -> None:
        """Append an event that is not known yet, as the session's own file has it. Behind one that the platform
        garbled nothing is taken from its log: the file that the session leaves has them all, in their order."""
        if self.lines == len(self.known) or said != self.known[self.lines]:
            try:
                events.decode(said.encode())
            except events.EventError:
                self.garbled = True
                return
            if self.lines < len(self.known):
                raise Ended("the session's log says other events than before; it is not this run's any more")
            with (self.run / rundir.EVENTS).open("ab") as log:
                log.write(f"{said}\n".encode())
            self.known.append(said)
        self.lines += 1

    # What it left.

    def _collect(self, client: Client, word: str) -> int:
        """Take in what the session left, and end as its run did."""
        slug, version = self.remote.slug, self.remote.version
        place = self.run / rundir.ARRIVING
        place.mkdir(exist_ok=True)
        told_at = place / session.DOCUMENT
        try:
            log = client.outputs(slug, version).log
            there = collect.fetch(client, slug, version, session.DOCUMENT, told_at, collect.LARGEST_SESSION)
            if not there and word == "COMPLETE" and self.stale < STALE_POLLS:
                return self._again(client, "Kaggle says that the session is over, and does not show yet what it left.")
            if not there:
                self._write_down(log)
                self._end_with_nothing(self._left_nothing(word))
            try:
                told = collect.read_session(told_at)
            except collect.NotOurs:
                self._write_down(log)
                raise
            if isinstance(told.run, session.Trained) and told.run.run_id != self.ask.run_id:
                if self.stale < STALE_POLLS:
                    earlier = "Kaggle says that the session is over, and still gives the output of an earlier one."
                    return self._again(client, earlier)
                raise Ended(f"Kaggle says that the session is over, and gives the output of run {told.run.run_id}")
            self._write_down(log)
            if isinstance(told.hardware, session.Refused):
                self._end_with_nothing(f"DeviceError: {told.hardware.because}", REFUSED)
            if not isinstance(told.run, session.Trained) or not isinstance(told.output, session.Packed):
                because = told.run.because if isinstance(told.run, session.NoRun) else "nothing was packed"
                self._end_with_nothing(f"the session trained nothing: {because}")
            archive = place / session.ARCHIVE
            here = archive.is_file() and canonical.sha256_file(archive) == told.output.sha256
            if not here and not collect.fetch(client, slug, version, archive.name, archive, collect.LARGEST_ARCHIVE):
                raise Ended(f"the session left no {session.ARCHIVE}, which it says that it packed")
            collect.unpack(archive, told.output, place / session.RUN)
            collect.check(self.run, place / session.RUN)
        except collect.NotOurs as error:
            raise Ended(f"what the session left is not taken in: {error}") from None
        self._facts(client, place)
        archive.unlink()
        shutil.rmtree(self.run / rundir.PLATFORM, ignore_errors=True)
        place.rename(self.run / rundir.PLATFORM)
        collect.catch_up(self.run, rundir.came_back(self.run), lambda text: print(text, flush=True))
        self.keep(collected=True)
        self.say(f"Ran at Kaggle: version {version} of {slug}.")
        codes = {"finished": DONE, "stopped": STOPPED}
        if told.run.state not in codes:
            print(f"Error: {told.run.said}", flush=True)
        return codes.get(told.run.state, FAILED)

    def _end_with_nothing(self, message: str, code: int = FAILED) -> NoReturn:
        """The session is over for good; a run that came back before goes on from there, if it is asked to."""
        self.keep(collected=rundir.came_back(self.run).is_dir())
        raise Ended(message, code)

    def _again(self, client: Client, sentence: str) -> int:
        """Kaggle has not caught up with itself yet, or never will."""
        self.stale += 1
        self.say(sentence)
        time.sleep(self.poll)
        return self._main(client)

    def _left_nothing(self, word: str) -> str:
        if word == "COMPLETE":
            return f"the session ended and left no {session.DOCUMENT}; its log in {rundir.ARRIVING}/ says more"
        ended = self.remote.says.removesuffix(".") or f"Kaggle ended the session ({word})"
        return (
            f"{ended}, before the notebook could pack its run; what was heard until then is kept. A session lasts at "
            f"most {SESSION_HOURS:.0f} hours"
        )

    def _write_down(self, log: str) -> None:
        """The platform's log, and of it what was not heard while the session went on."""
        text = collect.log_text(log)
        (self.run / rundir.ARRIVING / "log.json").write_text(text, encoding="utf-8")
        self._from_the_start()
        for number, piece in enumerate(kaggle.log_events(text)):
            self._hear_piece(number, piece)

    def _facts(self, client: Client, place: Path) -> None:
        """What the API says of the version: for the evidence."""
        remote = self.remote
        found = client.find(remote.slug, remote.version)
        (place / "notebook.ipynb").write_text(found.source, encoding="utf-8")
        owner, _, name = remote.slug.partition("/")
        shape, image = found.machine
        rundir.write_document(
            place / "platform.json",
            {
                "endpoint": remote.endpoint, "url": remote.url, "owner": owner, "slug": name,
                "version": remote.version, "kernel_id": found.kernel_id, "machine_shape": shape,
                "docker_image": image, "retrieved_at": events.now(),
            },
        )  # fmt: skip

    # Waiting.

    def _wait_out(self, error: KaggleError) -> None:
        self.failures += 1
        pause = min(self.poll * 2 ** min(self.failures, 10), max(self.poll, LONGEST_PAUSE))
        if isinstance(error, TooMany) and error.seconds:
            pause = max(self.poll, error.seconds)
        goes_on = " The session goes on there." if self.remote.version else ""
        self.say(f"{str(error).removesuffix('.')}.{goes_on} Kaggle is asked again.")
        time.sleep(pause)

    def _patiently(self, ask: Any) -> Any:
        """The answer, however long Kaggle is away. Raises Ended for a refusal."""
        while True:
            try:
                return ask()
            except (Unreachable, TooMany, Troubled) as error:
                self._wait_out(error)
            except KaggleError as error:
                raise Ended(str(error), REFUSED) from None

    def _may_go_on(self) -> str:
        """After a stop: nothing here can end a session there dependably, so nothing here says that it has."""
        if not self.remote.version:
            return "Stopped before anything was pushed to Kaggle."
        until = datetime.fromisoformat(self.remote.pushed_at) + timedelta(hours=SESSION_HOURS)
        return (
            f"Stop requested; quota may still be used until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC, because Kaggle "
            f"ends no session from outside dependably. End it at {self.remote.url}, or resume this run to watch it on."
        )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _quota(client: Client) -> Quota | None:
    """None where Kaggle's answer does not say; the push will."""
    try:
        return client.quota()
    except NotKaggle:
        return None


def _plain(name: str) -> str:
    """A name as Kaggle makes it of a title: small letters, digits and single hyphens."""
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in name.lower()).split()
    return "-".join(words)[:40].strip("-") or "run"


def _busy(error: str) -> bool:
    """Whether the refusal is that another session runs."""
    return "session count" in error.lower() or "maximum batch" in error.lower()


def _advice(error: str) -> str:
    words = error.lower()
    if "consent" in words or "terms" in words:
        return " Accept the model's licence on Kaggle with this account, then start the run again."
    if "phone" in words or "verif" in words:
        return " Verify the account's phone number on Kaggle, then start the run again."
    return ""


def main(arguments: list[str]) -> int:
    return Job(Path(arguments[0])).main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
