"""What goes out comes back the same; what others send is unpacked whole and inside its folder, or not at all."""

from __future__ import annotations

import io
import random
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bagit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.cli import main as assay
from evidence import archive, reading
from evidence.bundle import NameTaken
from evidence.verify import verify
from tests import runs

M = "b/run_manifest.json"
Parts = list[tuple[Any, bytes]]


def zipped(*parts: tuple[Any, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as made:
        for name, data in parts:
            made.writestr(name, data)
    return target.getvalue()


def entry(name: str, mode: int = 0, **fields: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert data.count(old) == 2
    return data.replace(old, new)


def patched(data: bytes, mark: bytes, offset: int, value: bytes, nth: int = 0) -> bytes:
    """``value`` at ``offset`` behind the nth ``mark``."""
    at = -1
    for _ in range(nth + 1):
        at = data.index(mark, at + 1)
    return data[: at + offset] + value + data[at + offset + len(value) :]


def end_patched(data: bytes, offset: int, value: bytes) -> bytes:
    return patched(data, b"PK\5\6", offset, value)


CENTRAL, LOCAL = b"PK\1\2", b"PK\3\4"
GOOD = (M, b"{}\n")
BOMB = zipped(GOOD, ("b/zeros", bytes(20 * 2**20)))


def lying_size() -> bytes:
    """20 MiB of zeros that say they are 100 bytes, in both headers."""
    small = struct.pack("<L", 100)
    return patched(patched(BOMB, CENTRAL, 24, small, nth=1), LOCAL, 22, small, nth=1)


def overlapping() -> bytes:
    """Two entries of the directory that share one place (the second one's local name differs, too)."""
    data = zipped(GOOD, ("b/one", b"x" * 100), ("b/two", b"y" * 100))
    first = struct.unpack_from("<L", data, data.index(CENTRAL, data.index(CENTRAL) + 1) + 42)[0]
    return patched(data, CENTRAL, 42, struct.pack("<L", first), nth=2)


HOSTILE: list[tuple[str, bytes, str]] = [
    ("climbing", zipped(GOOD, ("b/../../x", b"")), "the entry 'b/../../x' leads out of its folder"),
    ("climbing at once", zipped(GOOD, ("../x", b"")), "the entry '../x' leads out of its folder"),
    ("absolute", zipped(GOOD, ("/etc/x", b"")), "the entry '/etc/x' has an absolute path"),
    ("a drive", zipped(GOOD, ("C:/x", b"")), "the entry 'C:/x' has an absolute path"),
    ("backslashes", zipped(GOOD, ("b/..\\x", b"")), "is not a plain relative path"),
    ("an empty part", zipped(GOOD, ("b//x", b"")), "is not a plain relative path"),
    ("a dot part", zipped(GOOD, ("b/./x", b"")), "is not a plain relative path"),
    ("a NUL", renamed(zipped(GOOD, ("b/xQy", b"")), b"b/xQy", b"b/x\0y"), "is not a plain relative path"),
    ("a control character", zipped(GOOD, ("b/x\ny", b"")), "is not a plain relative path"),
    ("a link", zipped(GOOD, (entry("b/x", stat.S_IFLNK | 0o777), b"/etc/passwd")), "the entry 'b/x' is a link"),
    ("a device", zipped(GOOD, (entry("b/x", stat.S_IFCHR | 0o666), b"")), "neither a plain file nor a folder"),
    ("a pipe", zipped(GOOD, (entry("b/x", stat.S_IFIFO | 0o666), b"")), "neither a plain file nor a folder"),
    ("a link as a folder", zipped(GOOD, (entry("b/x/", stat.S_IFLNK | 0o777), b"")), "the entry 'b/x/' is a link"),
    ("hidden", zipped(GOOD, ("b/.git/config", b"")), "the entry 'b/.git/config' is hidden"),
    ("encrypted", patched(zipped(GOOD), CENTRAL, 8, b"\1\0"), "is encrypted"),
    ("another method", zipped(GOOD, ("b/x", b"x"), compression=zipfile.ZIP_LZMA), "by a method that is not read here"),
    ("twice", renamed(zipped(GOOD, ("b/x", b"1"), ("b/y", b"2")), b"b/y", b"b/x"), "'b/x' stands there twice"),
    ("twice by case", zipped(GOOD, ("b/x", b"1"), ("b/X", b"2")), "differs from 'b/x' in no more than case"),
    ("twice by normal form", zipped(GOOD, ("b/\u00e9", b"1"), ("b/e\u0301", b"2")), "in no more than case"),
    ("inside of a file", zipped(GOOD, ("b/x", b"1"), ("b/x/y", b"2")), "the entry 'b/x/y' lies in what is a file"),
    ("two folders", zipped(GOOD, ("c/x", b"")), "the entry 'c/x' lies in a second folder beside 'b'"),
    ("no folder", zipped(("run_manifest.json", b"{}")), "lies outside of a folder"),
    ("a folder deeper", zipped(("a/b/run_manifest.json", b"{}")), "there is no a/run_manifest.json"),
    ("no bundle", zipped(("b/photo.png", b"")), "holds no bundle"),
    ("nothing", zipped(), "holds no file"),
    ("only folders", zipped(("b/", b"")), "holds no file"),
    ("a folder with content", zipped(GOOD, (entry("b/x/", stat.S_IFDIR | 0o755), b"content")), "content of its own"),
    ("a bad name", zipped(("b b/run_manifest.json", b"")), "is no name for a bundle"),
    ("a long path", zipped(GOOD, ("b/" + "x/" * 250 + "y", b"")), "has a path of more than 400 bytes"),
    ("too many", zipped(GOOD, *((f"b/{n}", b"") for n in range(10_001))), "at most 10,000 are read"),
    ("a large file", zipped(GOOD, ("b/x", bytes(51 * 2**20))), "a file of a bundle has at most 52,428,800"),
    ("a bomb", BOMB, "the entry 'b/zeros' unpacks to more than 200 times its size"),
    ("a bomb that lies", lying_size(), "the entry 'b/zeros' cannot be read: Bad CRC-32"),
    ("overlapping", overlapping(), "the entry 'b/two' overlaps another entry"),
    ("a wrong checksum", patched(patched(zipped(GOOD), CENTRAL, 16, b"\1\2\3\4"), LOCAL, 14, b"\1\2\3\4"), "Bad CRC-32"),
    ("names not UTF-8", renamed(zipped(GOOD, ("b/xy", b"")), b"b/xy", b"b/\xff\xfe"), "is not said to be UTF-8"),
    ("names said to be UTF-8", renamed(zipped(GOOD, ("b/\u00e9", b"")), b"b/\xc3\xa9", b"b/\xff\xfe"), "is no sound zip"),
    ("another local name", patched(zipped(GOOD, ("b/x", b"")), LOCAL, 30, b"c", nth=1), "cannot be read: File name in"),
    ("zip64", end_patched(zipped(GOOD), 8, b"\xff\xff\xff\xff"), "(zip64), which no bundle has"),
    ("fewer entries than said", end_patched(zipped(GOOD), 8, b"\2\0\2\0"), "says that it has 2 entries and has 1"),
    ("several disks", end_patched(zipped(GOOD), 4, b"\1\0"), "its end contradicts itself"),
    ("something before it", b"#!/bin/sh\n" + zipped(GOOD), "something stands before it or inside it"),
    ("something after it", zipped(GOOD) + b"more", "its end contradicts itself"),
    ("not where it says", patched(zipped(GOOD), CENTRAL, 42, b"\5"), "is not where the archive says it is"),
    ("half of it", zipped(GOOD)[:-30], "is no zip"),
    ("empty", b"", "is no zip"),
    ("text", b"hello\n" * 100, "is no zip"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("data", "said"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_hostile_archive_is_refused_in_a_sentence_and_leaves_nothing(tmp_path: Path, data: bytes, said: str) -> None:
    inside = tmp_path / "in" / "here"
    with pytest.raises(archive.Refused) as refused:
        archive.take_in(io.BytesIO(data), inside)
    assert said in str(refused.value)
    assert list(inside.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_the_whole_has_a_limit_that_is_kept_while_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_TOTAL_BYTES", 3000)
    noise = random.Random(1).randbytes(2000)
    with pytest.raises(archive.Refused, match="the entry 'b/y' brings the whole above 3,000 bytes"):
        archive.unpack(io.BytesIO(zipped(GOOD, ("b/x", noise), ("b/y", noise))), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_ARCHIVE_BYTES", 10)
    with pytest.raises(archive.Refused, match="at most 10 are read"):
        archive.unpack(io.BytesIO(zipped(GOOD)), tmp_path)


def test_what_other_tools_write_is_taken(sealed: Path, tmp_path: Path) -> None:
    """With entries for folders, times, modes, and sizes behind the data."""
    made = tmp_path / "made.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(sealed.rglob("*")):
            target.write(path, f"{sealed.name}/{path.relative_to(sealed)}")
    place = archive.take_in(made, tmp_path / "imported")
    assert place == tmp_path / "imported" / "tiny" / "tiny"
    assert verify(place) == verify(sealed)


def test_a_name_is_taken_once(sealed: Path, tmp_path: Path) -> None:
    archive.export_zip(sealed, tmp_path / "b.zip")
    archive.take_in(tmp_path / "b.zip", tmp_path / "in")
    with pytest.raises(NameTaken, match="there is a bundle named tiny already"):
        archive.take_in(tmp_path / "b.zip", tmp_path / "in")
    other = archive.take_in(tmp_path / "b.zip", tmp_path / "in", "other")
    assert verify(other) == verify(sealed)
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["other", "tiny"]
    with pytest.raises(archive.Refused, match="is no name for a bundle"):
        archive.take_in(tmp_path / "b.zip", tmp_path / "in", "../other")


def test_the_same_bundle_is_the_same_bytes(sealed: Path, copy: Callable[[], Path], tmp_path: Path) -> None:
    for number, folder in enumerate((sealed, copy())):
        archive.export_zip(folder, tmp_path / f"{number}.zip")
        archive.export_bag(folder, tmp_path / f"bag{number}.zip")
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()
    assert (tmp_path / "bag0.zip").read_bytes() == (tmp_path / "bag1.zip").read_bytes()


def test_a_bag_is_one_to_the_format_and_holds_the_bundle(sealed: Path, tmp_path: Path) -> None:
    archive.export_bag(sealed, tmp_path / "bag")
    bag = bagit.Bag(str(tmp_path / "bag"))
    assert bag.validate()
    assert bag.info["External-Identifier"] == run_id_of(sealed)
    assert verify(tmp_path / "bag" / "data" / "tiny") == verify(sealed)
    archive.export_bag(sealed, tmp_path / "bag.zip")
    with zipfile.ZipFile(tmp_path / "bag.zip") as packed:
        packed.extractall(tmp_path / "out")
    assert bagit.Bag(str(tmp_path / "out" / "tiny-bag")).validate()
    with pytest.raises(FileExistsError):
        archive.export_bag(sealed, tmp_path / "bag")


def test_a_bundle_whose_copy_would_be_judged_otherwise_is_not_exported(
    copy: Callable[[], Path], tmp_path: Path
) -> None:
    folder = copy()
    (folder / "README.md").chmod(0o755)
    for export, target in ((archive.export_zip, "x.zip"), (archive.export_bag, "bag"), (archive.export_bag, "b.zip")):
        with pytest.raises(archive.NotFaithful, match="STR-02 is fail here and pass there"):
            export(folder, tmp_path / "out" / target)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_broken_bundle_travels_as_it_is(copy: Callable[[], Path], tmp_path: Path) -> None:
    folder = copy()
    (folder / reading.MANIFEST).write_text("{}\n")
    archive.export_zip(folder, tmp_path / "x.zip")
    archive.export_bag(folder, tmp_path / "bag.zip")
    assert not verify(archive.unpack(tmp_path / "x.zip", tmp_path / "in")).valid


def test_the_commands(sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSAY_SUBMISSIONS", str(sealed.parent))
    target = tmp_path / "tiny.zip"
    assert assay(["export", "tiny", "--zip", str(target)]) == 0
    assert assay(["import", str(target), "--name", "theirs"]) == 0
    assert "Imported" in capsys.readouterr().out
    assert assay(["verify", "theirs", "--quick"]) == 0
    assert assay(["import", str(target), "--name", "theirs"]) == 2
    assert capsys.readouterr().err == "Error: there is a bundle named theirs already; choose another name\n"
    assert assay(["export", "gone", "--bagit", str(tmp_path / "bag")]) == 2
    target.write_bytes(BOMB)
    assert assay(["import", str(target)]) == 2
    assert "unpacks to more than 200 times" in capsys.readouterr().err


def test_it_is_exported_on_a_bare_python(sealed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-E", "-m", "evidence", "export", str(sealed), "--zip", str(tmp_path / "x.zip")]
    subprocess.run(command, cwd=runs.ROOT, check=True, capture_output=True)


PLAIN = zipped(GOOD, ("b/data/x", b"text " * 100), ("b/y", b"\0" * 50))
RELENTLESS = settings(
    max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@RELENTLESS
@given(changes=st.lists(st.tuples(st.integers(0, len(PLAIN) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_mutated_archive_never_crashes_or_writes_outside(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(PLAIN)
    for place, value in changes:
        data[place] = value
    _try(tmp_path, bytes(data))


@RELENTLESS
@given(data=st.binary(max_size=400), cut=st.integers(0, len(PLAIN)), keep=st.booleans())
def test_any_bytes_never_crash_or_write_outside(tmp_path: Path, data: bytes, cut: int, keep: bool) -> None:
    _try(tmp_path, PLAIN[:cut] + data + PLAIN[cut:] if keep else data + PLAIN[cut:])


@RELENTLESS
@given(names=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4, unique=True))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_names_never_crash_or_write_outside(tmp_path: Path, names: list[str]) -> None:
    try:
        data = zipped(GOOD, *((f"b/{name}", b"x") for name in names), *((name, b"x") for name in names))
    except (UnicodeEncodeError, IndexError):
        return  # Python writes no zip with such a name
    _try(tmp_path, data)


def _try(tmp_path: Path, data: bytes) -> None:
    inside = tmp_path / "in"
    try:
        place = archive.unpack(io.BytesIO(data), inside)
    except archive.Refused:
        assert list(inside.iterdir()) == []
    else:
        assert place.parent == inside
        assert [path.name for path in inside.iterdir()] == [place.name]
        assert all(path.is_file() != path.is_dir() and not path.is_symlink() for path in inside.rglob("*"))
        place.rename(tmp_path / "done")
        shutil.rmtree(tmp_path / "done")
    assert {path.name for path in tmp_path.iterdir()} <= {"in"}


def run_id_of(folder: Path) -> str:
    return reading.Bundle(folder).manifest.run.run_id
