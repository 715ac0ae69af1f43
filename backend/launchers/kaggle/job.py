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
from typing import Any

from backend.launchers.kaggle import client as kaggle
from backend.launchers.kaggle import collect, credentials
from backend.launchers.kaggle.client import Client, KaggleError, Kernel, Missing, TooMany, Unauthorized, Unreachable
from evidence import events, notebook, provenance, rundir, session, source_archive
from evidence.manifest import KAGGLE_ENDPOINT

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
"""So often may Kaggle say of a session that it is over, and give the output of another one, before that is believed."""

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
    that were written down. ``collected``: what the session left was taken in."""

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
    schema: str = SCHEMA


class Job:
    def __init__(self, run: Path) -> None:
        self.run, self.ask = run, rundir.read_ask(run)
        document = rundir.read_document(run / rundir.REMOTE)
        self.remote = Remote(**document) if document else Remote()
        self.poll = float(os.environ.get("ASSAY_KAGGLE_POLL", POLL_SECONDS))
        self.failures, self.stale = 0, 0
        self.spoke = time.monotonic()
        self.torn = ""
        self.lines = 0
        lines, _ = rundir.whole_lines(run / rundir.EVENTS, 0, limit_bytes=-1)
        self.known = [line.decode("utf-8", "replace") for line in lines]
        self.resume = False

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
            self.resume = True
            self.keep(version=0, collected=False, pushing=False, heard=0)
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
                self._wait_out(error)
                continue
            time.sleep(self.poll)

    # What is written down.

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
        if self.remote.pushing and (version := self._pushed_before(client, slug)):
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
            kernels=(slug,) if self.resume else (),
        )
        while True:
            self.keep(pushing=True)
            try:
                pushed = client.push(kernel)
            except Unreachable:
                # Nobody knows whether it was taken: look before it is pushed again.
                if version := self._patiently(lambda: self._pushed_before(client, slug)):
                    self._note(client, slug, version, 0)
                    return
                continue
            except TooMany as error:
                self._wait_out(error)
                continue
            except KaggleError as error:
                self.keep(pushing=False)
                raise Ended(f"Kaggle did not take the notebook: {error}", REFUSED) from None
            if not pushed.error:
                break
            if not _busy(pushed.error):
                self.keep(pushing=False)
                raise Ended(f"Kaggle did not take the notebook: {pushed.error}{_advice(pushed.error)}", REFUSED)
            self.say(f"Waits for Kaggle, which runs one such session at a time: {pushed.error}")
            time.sleep(self.poll)
        self._note(client, pushed.ref or slug, pushed.version, pushed.kernel_id)
        if pushed.not_attached:
            names = ", ".join(pushed.not_attached)
            raise Ended(
                f"Kaggle did not attach {names}: accept its licence on Kaggle with this account, then start the run "
                f"again. The session that was started will end by itself: {self.remote.url}"
            )

    def _note(self, client: Client, slug: str, version: int, kernel_id: int) -> None:
        own = client.endpoint == KAGGLE_ENDPOINT
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
        except Missing:
            return 0
        ours = self.ask.run_id in found.source and self.ask.nonce in found.source
        return found.version if ours and ("RESUME = True" in found.source) == self.resume else 0

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
            resume=self.resume,
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
        try:
            quota = client.quota()
        except kaggle.NotKaggle:
            return  # it does not say; the push will
        except KaggleError as error:
            raise Ended(f"Kaggle does not say whether there is TPU time left: {error}", REFUSED) from None
        if quota.left < 600:
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
        self.torn, self.lines = "", 0
        try:
            for number, piece in enumerate(client.log(self.remote.slug, self.remote.version)):
                text = str(piece.get("data", ""))
                self._events(text)
                if number >= self.remote.heard:
                    print(text, end="", flush=True)
                    self.keep(heard=number + 1)
        except (Unreachable, Missing):
            return  # nothing came for a while, or there is no log yet

    def _events(self, text: str) -> None:
        """Append the events among the log's lines that are not known yet, each as the session's own file has it."""
        *whole, self.torn = (self.torn + text).split("\n")
        for line in whole:
            if not line.startswith(events.LOG_MARK):
                continue
            said = line.removeprefix(events.LOG_MARK).rstrip("\r")
            if self.lines < len(self.known):
                if said != self.known[self.lines]:
                    raise Ended("the session's log says other events than before; it is not this run's any more")
            else:
                try:
                    events.decode(said.encode())
                except events.EventError:
                    continue
                with (self.run / rundir.EVENTS).open("ab") as log:
                    log.write(f"{said}\n".encode())
                self.known.append(said)
            self.lines += 1

    # What it left.

    def _collect(self, client: Client, word: str) -> int:
        """Take in what the session left, and end as its run did."""
        slug, version = self.remote.slug, self.remote.version
        place = self.run / rundir.PLATFORM
        place.mkdir(exist_ok=True)
        told_at = place / session.DOCUMENT
        try:
            log = client.outputs(slug, version).log
            there = collect.fetch(client, slug, version, session.DOCUMENT, told_at, collect.LARGEST_SESSION)
            if not there:
                self._write_down(log)
                raise Ended(self._left_nothing(word))
            told = collect.read_session(told_at)
            if isinstance(told.run, session.Trained) and told.run.run_id != self.ask.run_id:
                return self._stale(client, told.run.run_id)
            self._write_down(log)
            if isinstance(told.hardware, session.Refused):
                raise Ended(f"DeviceError: {told.hardware.because}", REFUSED)
            if not isinstance(told.run, session.Trained) or not isinstance(told.output, session.Packed):
                because = told.run.because if isinstance(told.run, session.NoRun) else "nothing was packed"
                raise Ended(f"the session trained nothing: {because}")
            archive = place / session.ARCHIVE
            if not collect.fetch(client, slug, version, session.ARCHIVE, archive, collect.LARGEST_ARCHIVE):
                raise Ended(f"the session left no {session.ARCHIVE}, which it says that it packed")
            collect.unpack(archive, told.output, place / f"new-{session.RUN}")
            collect.check(self.run, place / f"new-{session.RUN}")
        except collect.NotOurs as error:
            raise Ended(f"what the session left is not taken in: {error}") from None
        self._facts(client)
        shutil.rmtree(place / session.RUN, ignore_errors=True)
        (place / f"new-{session.RUN}").rename(place / session.RUN)
        archive.unlink()
        collect.catch_up(self.run, place / session.RUN, lambda text: print(text, flush=True))
        self.keep(collected=True)
        self.say(f"Ran at Kaggle: version {version} of {slug}.")
        codes = {"finished": DONE, "stopped": STOPPED}
        if told.run.state not in codes:
            print(f"Error: {told.run.said}", flush=True)
        return codes.get(told.run.state, FAILED)

    def _stale(self, client: Client, found: str) -> int:
        """Kaggle gives what another session left: it has not caught up yet, or never will."""
        self.stale += 1
        if self.stale > STALE_POLLS:
            raise Ended(f"Kaggle says that the session is over, and gives the output of run {found}")
        self.say("Kaggle says that the session is over, and still gives the output of an earlier one.")
        time.sleep(self.poll)
        return self._main(client)

    def _left_nothing(self, word: str) -> str:
        if word == "COMPLETE":
            return f"the session ended and left no {session.DOCUMENT}; its log in {rundir.PLATFORM}/ says more"
        ended = self.remote.says.removesuffix(".") or f"Kaggle ended the session ({word})"
        return (
            f"{ended}, before the notebook could pack its run; what was heard until then is kept. A session lasts at "
            f"most {SESSION_HOURS:.0f} hours"
        )

    def _write_down(self, log: str) -> None:
        """The platform's log, and of it what was not heard while the session went on."""
        text = collect.log_text(log)
        (self.run / rundir.PLATFORM / "log.json").write_text(text, encoding="utf-8")
        self.torn, self.lines = "", 0
        for number, piece in enumerate(kaggle.log_events(text)):
            data = str(piece.get("data", ""))
            self._events(data)
            if number >= self.remote.heard:
                print(data, end="", flush=True)
                self.keep(heard=number + 1)

    def _facts(self, client: Client) -> None:
        """What the API says of the version: for the evidence."""
        remote, place = self.remote, self.run / rundir.PLATFORM
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
            except (Unreachable, TooMany, kaggle.Troubled) as error:
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
