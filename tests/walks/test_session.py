"""A rented session's steps where it is not all well: what was trained is packed, and nothing says more than there was."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from evidence import attempts, canonical, notebook, provenance, rundir, session, source_archive, typed
from evidence.events import Resumed, Step, decode
from tests import clone
from tests.runs import ROOT, wait_for
from tests.walks.test_notebook import archive, execute

__all__ = ["archive"]  # a fixture


def unpack(archive: source_archive.Archive, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive.data)) as tar:
        tar.extractall(folder, filter="data")


class Rented:
    """A session's folders in ``base``, and its steps."""

    def __init__(self, base: Path, archive: source_archive.Archive, **asked: Any) -> None:
        self.source, self.scratch, self.work, self.input = (base / name for name in ("source", "x", "work", "input"))
        for folder in (self.scratch, self.work, self.input):
            folder.mkdir(parents=True)
        unpack(archive, self.source)
        document = {
            "commit": archive.commit, "archive_sha256": archive.sha256, "config": "training/configs/smoke_tiny.yaml",
            "overrides": {"training.steps": 1_000_000}, "run_name": "rented",
            "run_id": "", "nonce": "", "resume": False, "require": "cpu", "devices": 1, "deadline_hours": 8.5,
            "smoke": True, "rehearses": "", "preflights": "", "started": time.time(), "work": str(self.work),
            "input": str(self.input),
        }  # fmt: skip
        (self.scratch / "asked.json").write_text(canonical.encode(document | asked))
        assert self.step("source")[0] == 0

    def begin(self, name: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "assay.session", name, str(self.scratch)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.Popen(
            words, cwd=self.source, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def step(self, name: str) -> tuple[int, str]:
        process = self.begin(name)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def train_until(self, reached: type[Resumed] | type[Step]) -> None:
        """Train until there is a row after the event ``reached``; then end the session."""
        process = self.begin("train")
        try:
            wait_for(lambda: self.runs and self.said(reached), seconds=150)
        finally:
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said

    @property
    def runs(self) -> list[Path]:
        return rundir.folders(self.scratch / "runs")

    def said(self, after: type[Resumed] | type[Step]) -> bool:
        events = [decode(line) for line in rundir.whole_lines(self.runs[0] / rundir.EVENTS, 0, limit_bytes=-1)[0]]
        at = next((number for number, event in enumerate(events) if isinstance(event, after)), len(events))
        return any(isinstance(event, Step) for event in events[at + 1 :])

    def breaks(self, module: str, line: str) -> None:
        """``line`` of ``module`` breaks from now on."""
        path = self.source / module
        text = path.read_text()
        assert text.count(line) == 1
        path.write_text(text.replace(line, f"raise LookupError('nobody foresaw this')  # {line}"))

    @property
    def told(self) -> session.Session:
        return typed.read(session.Session, canonical.read(self.work / session.DOCUMENT))


def test_a_session_that_is_ended_leaves_a_run_that_the_next_one_goes_on_with_though_its_sealing_breaks(
    archive: source_archive.Archive, tmp_path: Path
) -> None:
    first = Rented(tmp_path / "first", archive)
    first.train_until(Step)
    assert first.step("seal")[0] == 0
    assert first.step("finish")[0] == 0
    told = first.told
    assert (told.run.kind, told.run.state, told.bundle.kind, told.output.kind) == (
        "run", "stopped", "sealed", "packed")  # fmt: skip

    second = Rented(tmp_path / "second", archive, resume=True)
    shutil.copy(first.work / session.ARCHIVE, second.input)
    second.train_until(Resumed)  # which ends only with this attempt
    second.breaks("assay/session.py", "verdict = verify(place)")
    code, said = second.step("seal")
    assert (code, "nobody foresaw this" in said, session.MARK in said) == (1, True, True)
    again = second.told
    assert (again.run.run_id, again.run.state) == (told.run.run_id, "stopped")
    assert (again.bundle.kind, again.output.kind) == ("not_sealed", "packed")
    assert again.bundle.because.startswith("the step seal broke: LookupError: nobody foresaw this")
    with tarfile.open(second.work / session.ARCHIVE) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    run = (tmp_path / "out" / session.RUN).rename(tmp_path / "out" / told.run.run_id)
    attempts.check(run)  # and could go on once more


def test_before_the_deadline_the_run_is_told_to_stop_once_and_a_full_disk_is_told(
    archive: source_archive.Archive, tmp_path: Path
) -> None:
    rented = Rented(tmp_path, archive, deadline_hours=0)
    code, said = rented.step("train")
    assert (code, said.count("Told to stop"), "\nStopped: " in said) == (0, 1, True)
    (rented.work / session.ARCHIVE).symlink_to("/dev/full")
    assert rented.step("finish")[0] == 1
    assert rented.told.output == session.NotPacked(
        "not_packed", f"{session.ARCHIVE} could not be written: No space left on device"
    )
    assert [path.name for path in rented.work.iterdir()] == [session.DOCUMENT]


def test_what_breaks_while_a_run_goes_on_ends_it_and_packs_it(archive: source_archive.Archive, tmp_path: Path) -> None:
    rented = Rented(tmp_path, archive)
    rented.breaks("assay/session.py", "stop_at = asked.started")
    assert rented.step("train")[0] == 1
    told = rented.told
    assert (told.run.kind, told.run.state, told.output.kind) == ("run", "stopped", "packed")
    assert (rented.runs[0] / rundir.EXIT).is_file()


def test_a_proof_of_the_hardware_that_breaks_is_not_called_another_machine(
    archive: source_archive.Archive, tmp_path: Path
) -> None:
    rented = Rented(tmp_path, archive)
    rented.breaks("training/prove_hardware.py", "proof = prove(Asked(options.require, options.devices))")
    code, said = rented.step("hardware")
    assert (code, "not the machine" in said) == (1, False)
    assert rented.told.hardware == session.NotReached(
        "not_reached", "the proof of the hardware ended with exit code 1, so nothing was trained"
    )


def test_files_that_python_would_load_instead_of_the_commits_are_refused(
    archive: source_archive.Archive, tmp_path: Path
) -> None:
    unpack(archive, tmp_path)
    (tmp_path / "dataset-metadata.json").write_text("{}")
    assert source_archive.prove(tmp_path, archive.commit)["commit"] == archive.commit
    (tmp_path / "numpy.py").write_text("raise SystemExit('another program')\n")
    with pytest.raises(source_archive.NotTheSource, match=r"numpy\.py is no file of commit"):
        source_archive.prove(tmp_path, archive.commit)


def test_an_archive_that_the_platform_unpacked_is_found_and_proven(
    archive: source_archive.Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(archive, tmp_path / "input" / "my-source" / "whatever it is called")
    said, document = execute(notebook.Parameters(commit="ab" * 20), tmp_path / "work", monkeypatch)
    assert document is None
    assert f"the source is commit {archive.commit}, but {'ab' * 20} was asked for" in said


def test_the_command_writes_notebook_and_archive_and_what_it_wrote_does_not_hinder_it(
    archive: source_archive.Archive, tmp_path: Path
) -> None:
    unpack(archive, tmp_path)
    (tmp_path / provenance.PROOF).unlink()
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    clone.commit(tmp_path)
    command = [sys.executable, "-c", "from assay.cli import main; raise SystemExit(main())", "notebook"]
    for _ in range(2):
        done = subprocess.run(
            [*command, "--archive", source_archive.NAME], cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
    packed = source_archive.pack(tmp_path)
    assert (tmp_path / source_archive.NAME).read_bytes() == packed.data
    written = (tmp_path / notebook.COMMITTED.name).read_bytes()
    assert written == notebook.build(notebook.pinned(packed, embed=False))
