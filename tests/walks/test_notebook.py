"""The notebook's own cells, run as a platform runs them: on a CPU to the end, and on the wrong machine not at all."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from evidence import canonical, notebook, reading, rundir, session, source_archive, typed
from evidence.verify import verify
from tests import clone
from tests.runs import ROOT

SECRETS = {
    "HF_TOKEN": "hf_plantedplantedplantedplantedplanted",
    "KAGGLE_KEY": "0123planted4567planted89abplantedcd",
    "KAGGLE_API_TOKEN": "KGAT_planted0planted1planted2",
    "SOMETHING_ELSE": "sk-planted-in-a-variable-nobody-knows",
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> source_archive.Archive:
    """The working tree's own files as a commit, packed. CI's is clean; a developer's need not be."""
    return source_archive.pack(clone.make(tmp_path_factory.mktemp("clone"), *source_archive.PACKED))


def execute(
    parameters: notebook.Parameters, work: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, dict[str, Any] | None]:
    """Run it in ``work`` with secrets in the environment: everything its cells said, and session.json."""
    work.mkdir()
    (work.parent / "tmp").mkdir()
    for name, value in SECRETS.items() | {
        ("TMPDIR", str(work.parent / "tmp")),
        ("KAGGLE_INPUT", str(work.parent / "input")),
    }:
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    for name in ("XLA_FLAGS", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    book = nbformat.reads(notebook.build(parameters).decode(), 4)
    client = nbclient.NotebookClient(book, timeout=240, allow_errors=False, resources={"metadata": {"path": str(work)}})
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError:
        pass
    said = json.dumps(book["cells"])
    return said, canonical.read(work / "session.json") if (work / "session.json").exists() else None


def test_the_committed_notebook_is_what_its_source_gives() -> None:
    assert notebook.COMMITTED.read_bytes() == notebook.build(notebook.Parameters())
    book = nbformat.read(notebook.COMMITTED, 4)
    nbformat.validate(book)
    assert [cell["metadata"].get("tags") for cell in book["cells"] if cell["metadata"]] == [["parameters"]]


def test_the_same_commit_gives_the_same_archive(archive: source_archive.Archive, tmp_path: Path) -> None:
    assert canonical.sha256(archive.data) == archive.sha256
    path = tmp_path / source_archive.NAME
    path.write_bytes(archive.data)
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path / "source", filter="data")
        assert {(entry.mtime, entry.uid, entry.uname) for entry in tar} == {(0, 0, "")}
    assert source_archive.prove(tmp_path / "source", archive.commit)["commit"] == archive.commit
    with pytest.raises(source_archive.NotTheSource, match="was asked for; attach its archive"):
        source_archive.prove(tmp_path / "source", "ab" * 20)
    (tmp_path / "source/training/loss.py").write_text("LOSS = 0.0\n")
    with pytest.raises(source_archive.NotTheSource, match=r"training/loss\.py is not the file of commit"):
        source_archive.prove(tmp_path / "source")


def test_the_cells_train_seal_and_pack_and_tell_no_secret(
    archive: source_archive.Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"run_id": datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f"), "nonce": "5a" * 32}
    parameters = notebook.pinned(archive, embed=True, smoke=True, run_name="smoke_nb", **given)
    said, document = execute(parameters, tmp_path / "work", monkeypatch)
    assert document, said[-3000:]
    told = typed.read(session.Session, document)
    assert (told.hardware.kind, told.run.kind, told.output.kind) == ("proven", "run", "packed")
    assert told.source.commit == archive.commit
    assert told.platform == session.Kaggle("kaggle", {"KAGGLE_KERNEL_RUN_TYPE": "Batch"})
    packed = tmp_path / "work" / session.ARCHIVE
    assert canonical.sha256_file(packed) == document["output"]["sha256"]
    with tarfile.open(packed) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    run, sealed = tmp_path / "out/run", tmp_path / "out/bundle"
    ask = rundir.read_ask(run)
    assert {"run_id": ask.run_id, "nonce": ask.nonce} == given
    verdict = verify(sealed.rename(tmp_path / "out/smoke_nb"))
    assert (verdict.failures, verdict.level) == ((), "E2")
    manifest = reading.Bundle(tmp_path / "out/smoke_nb").manifest
    assert (manifest.source.commit, len(manifest.hardware.devices)) == (archive.commit, 8)
    assert document["bundle"]["seal"] == canonical.sha256_file(tmp_path / "out/smoke_nb" / reading.SUMS)
    assert said.count(":::EVID ") == (run / rundir.EVENTS).read_text().count("\n")
    everything = [said.encode(), *(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())]
    everything += [path.read_bytes() for path in (tmp_path / "work").iterdir()]
    for secret in SECRETS.values():
        assert not any(secret.encode() in piece for piece in everything)


def test_on_the_wrong_machine_nothing_is_trained_and_the_exit_code_says_so(
    archive: source_archive.Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The submission's own parameters, where there is no TPU: attached this time, not embedded."""
    attached = tmp_path / "input" / "datasets" / "me"
    attached.mkdir(parents=True)
    (attached / source_archive.NAME).write_bytes(archive.data)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    said, document = execute(notebook.pinned(archive, embed=False), tmp_path / "work", monkeypatch)
    assert document, said[-3000:]
    told = typed.read(session.Session, document)
    assert (told.hardware.kind, told.run.kind, told.bundle.kind, told.output.kind) == (
        "refused", "no_run", "not_sealed", "not_packed")  # fmt: skip
    assert "a tpu was asked for, and this machine has" in said
    assert f"SystemExit: {session.WRONG_HARDWARE}" in said or '"evalue": "78"' in said
    assert ":::HARDWARE " in said
    assert ":::EVID " not in said
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["session.json"]


def test_another_archive_than_the_one_asked_for_is_not_unpacked(
    archive: source_archive.Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = base64.b64encode(archive.data + b"\0").decode()
    parameters = notebook.Parameters(commit=archive.commit, archive_sha256=archive.sha256, archive=other, smoke=True)
    said, document = execute(parameters, tmp_path / "work", monkeypatch)
    assert document is None
    assert f"and {archive.sha256} was asked for" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["assay.cli", "notebook", "--config", "nope"], "nope: No such file or directory"),
        (
            ["assay.cli", "notebook", "--rehearse", "mine.yaml"],
            "mine.yaml is not sent along: only configs in the repository's",
        ),
        (["assay.session", "bogus", "."], "invalid choice: 'bogus'"),
        (["assay.session", "train", "."], "asked.json does not say what is asked: "),
    ],
    ids=["no config", "a config that stays here", "no step", "nothing asked"],
)
def test_bad_words_are_refused_in_a_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    shutil.copyfile(ROOT / "training/configs/smoke_tiny.yaml", tmp_path / "mine.yaml")
    run = f"import sys; from {words[0]} import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", run, *words[1:]], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert sentence in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_dirty_tree_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training/x.py").write_text("x = 1\n")
    with pytest.raises(source_archive.CannotPack, match="is not a git checkout"):
        source_archive.pack(tmp_path)
    clone.commit(tmp_path)
    (tmp_path / "training/x.py").write_text("x = 2\n")
    with pytest.raises(source_archive.CannotPack, match=r"training/x\.py differ from the commit; commit or stash them"):
        source_archive.pack(tmp_path)
