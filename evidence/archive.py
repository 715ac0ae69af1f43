"""A bundle as one file, and back: a zip or a BagIt bag of it, and the careful unpacking of what somebody sent.

The same bundle gives the same bytes. An archive is hostile until it is unpacked: what its headers say is believed only
where reading bears it out, and an archive that breaks a rule leaves nothing behind.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from evidence import canonical, reading, report
from evidence.bundle import NameTaken
from evidence.checks.structure import LARGEST_FILE_BYTES
from evidence.spec import NAME
from evidence.verdict import Verdict
from evidence.verify import verify

MEBIBYTE = 2**20
LARGEST_ARCHIVE_BYTES = 128 * MEBIBYTE
LARGEST_TOTAL_BYTES = 512 * MEBIBYTE
MOST_ENTRIES = 10_000
LARGEST_DIRECTORY_BYTES = 4 * MEBIBYTE
LARGEST_RATIO = 200
"""So many times its compressed size may an entry be, once it is larger than a mebibyte."""
LONGEST_PATH = 400

OLDEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
PIECE = 1 << 16
END = struct.Struct("<4s4H2LH")
LOCAL = struct.Struct("<4s5H3L2H")
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error),
    *(ValueError, OverflowError, LookupError, OSError),
)
"""What Python's reader may raise on bytes that are no sound zip."""

Entry = tuple[str, bytes]


class Refused(ValueError):
    """The archive is not unpacked. ``entry``: the one that is wrong, "" where it is the archive itself."""

    def __init__(self, entry: str, because: str) -> None:
        self.entry = _shown(entry)
        super().__init__(f"the entry {self.entry!r} {because}" if entry else f"the archive {because}")


class NotFaithful(ValueError):
    """What was written does not verify as the bundle does; it was removed again."""


# Packing.


def files(folder: Path) -> Iterator[Entry]:
    """The bundle's files in order, below a folder of its name."""
    bundle = reading.Bundle(folder)
    for name in bundle.files:
        yield f"{_name(folder)}/{name}", bundle.bytes(name)


def bag(folder: Path) -> Iterator[Entry]:
    """A BagIt 1.0 bag whose payload is the bundle, in ``data/<its name>/``."""
    root, bundle = f"{_name(folder)}-bag", reading.Bundle(folder)
    sizes = [bundle.entries[name].st_size for name in bundle.files]
    lines = [f"{bundle.sha256(name)}  {_escaped(f'data/{_name(folder)}/{name}')}\n" for name in bundle.files]
    tags = {
        "bag-info.txt": _bag_info(bundle, sum(sizes), len(sizes)),
        "bagit.txt": "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "manifest-sha256.txt": "".join(sorted(lines, key=lambda line: line[66:])),
    }
    digests = [f"{canonical.sha256(text.encode())}  {name}\n" for name, text in tags.items()]
    tags["tagmanifest-sha256.txt"] = "".join(digests)
    yield from ((f"{root}/{name}", text.encode()) for name, text in tags.items())
    yield from ((f"{root}/data/{path}", data) for path, data in files(folder))


def write_zip(entries: Iterable[Entry], target: IO[bytes]) -> None:
    """The entries as a zip without times or owners."""
    with zipfile.ZipFile(target, "w") as archive:
        for path, data in entries:
            info = zipfile.ZipInfo(path, OLDEST_ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, data, compresslevel=6)


def export_zip(folder: Path, target: Path) -> None:
    """A zip of the bundle that was unpacked again and gave the same verdict. Raises NotFaithful, OSError."""
    with _beside(target) as draft:
        with (draft / "zip").open("wb") as stream:
            write_zip(files(folder), stream)
        try:
            unpacked = unpack(draft / "zip", draft / "unpacked")
        except (Refused, NameTaken) as error:
            raise NotFaithful(f"{folder.name} cannot be exported: {error}") from None
        _same_verdict(folder, unpacked)
        (draft / "zip").replace(target)


def export_bag(folder: Path, target: Path) -> None:
    """A bag of the bundle, as a zip where ``target`` ends so, otherwise as a new folder, with the same verdict.
    Raises NotFaithful, FileExistsError, OSError."""
    zipped = target.suffix == ".zip"
    if not zipped and target.exists():
        raise FileExistsError(f"{target} exists already; a bag is written into a new folder")
    with _beside(target) as draft:
        for path, data in bag(folder):
            place = draft / "bag" / path.partition("/")[2]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            place.chmod(0o644)
        _same_verdict(folder, draft / "bag" / "data" / _name(folder))
        if zipped:
            with (draft / "zip").open("wb") as stream:
                write_zip(bag(folder), stream)
            (draft / "zip").replace(target)
        else:
            (draft / "bag").rename(target)


def _same_verdict(folder: Path, copy: Path) -> None:
    """INT-05: the copy is judged as the bundle is."""
    wanted, found = verify(folder), verify(copy)
    if wanted != found:
        raise NotFaithful(
            f"{folder.name} cannot be exported: its copy would not be judged as it is ({_difference(wanted, found)})"
        )


def _difference(wanted: Verdict, found: Verdict) -> str:
    for one, other in zip(wanted.results, found.results, strict=True):
        if one != other:
            return f"{one.id} is {one.result} here and {other.result} there"
    return f"level {wanted.level or 'none'} here and {found.level or 'none'} there"


def _bag_info(bundle: reading.Bundle, size: int, count: int) -> str:
    lines = ["Bag-Software-Agent: Assay", f"Payload-Oxum: {size}.{count}"]
    try:
        run, told = bundle.told.run, " ".join(report.sentence(bundle).split())
        lines += [f"External-Identifier: {run.run_id}", f"External-Description: {told}"]
    except reading.MISSHAPEN:
        pass  # an archive of a broken bundle is an archive all the same
    return "".join(f"{line}\n" for line in sorted(lines))


def _escaped(path: str) -> str:
    return path.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _name(folder: Path) -> str:
    return folder.resolve().name


# Unpacking.


def unpack(source: Path | IO[bytes], destination: Path) -> Path:
    """The archive's one folder, unpacked as ``destination/<its name>``. Raises Refused, NameTaken, OSError."""
    destination.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=destination))
    try:
        if isinstance(source, Path):
            with source.open("rb") as stream:
                root = _unpack(stream, draft)
        else:
            root = _unpack(source, draft)
        place = destination / root
        if place.exists() or place.is_symlink():
            raise NameTaken(f"there is something named {root} already")
        try:
            (draft / root).rename(place)
        except OSError:
            raise NameTaken(f"there is something named {root} already") from None
        return place
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def take_in(source: Path | IO[bytes], imported: Path, name: str = "") -> Path:
    """Unpack as ``imported/<name>/<its own name>``: what it is called here is no word of the bundle's. ``name`` is its
    own where none is given. Raises Refused, NameTaken, OSError."""
    if name and not NAME.fullmatch(name):
        raise Refused(name, "is no name for a bundle: letters, digits, '.', '_' and '-', at most 80")
    imported.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".importing-", dir=imported))
    try:
        root = unpack(source, draft).name
        place = imported / (name or root)
        if place.exists() or place.is_symlink():
            raise NameTaken(f"there is a bundle named {place.name} already; choose another name")
        draft.chmod(0o755)
        try:
            draft.rename(place)
        except OSError:
            raise NameTaken(f"there is a bundle named {place.name} already; choose another name") from None
        return place / root
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _unpack(stream: IO[bytes], draft: Path) -> str:
    count, directory_at = _end_of(stream)
    try:
        archive = zipfile.ZipFile(stream)
    except BROKEN as error:
        raise Refused("", f"is no sound zip: {_why(error)}") from None
    with archive:
        entries = archive.infolist()
        if len(entries) != count:
            raise Refused("", f"says that it has {count:,} entries and has {len(entries):,}")
        root = _judge_names(entries)
        _judge_places(stream, entries, directory_at)
        total = 0
        for entry in entries:
            if not entry.filename.endswith("/"):
                total += _write(archive, entry, draft / entry.filename, LARGEST_TOTAL_BYTES - total)
    return root


def _end_of(stream: IO[bytes]) -> tuple[int, int]:
    """How many entries the archive says it has, and where its directory begins."""
    size = stream.seek(0, os.SEEK_END)
    if size > LARGEST_ARCHIVE_BYTES:
        raise Refused("", f"has {size:,} bytes; at most {LARGEST_ARCHIVE_BYTES:,} are read")
    if size < END.size:
        raise Refused("", "is no zip")
    tail_at = max(0, size - END.size - 0xFFFF - 20)
    stream.seek(tail_at)
    tail = stream.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < END.size:
        raise Refused("", "is no zip: it does not end as one does")
    _, disk, first_disk, here, count, length, offset, comment = END.unpack_from(tail, at)
    if tail[max(0, at - 20) : at].startswith(b"PK\6\7") or 0xFFFF in (here, count) or 0xFFFFFFFF in (length, offset):
        raise Refused("", "is written for sizes beyond 4 GiB (zip64), which no bundle has")
    if disk or first_disk or here != count or at + END.size + comment != len(tail):
        raise Refused("", "is no whole zip: its end contradicts itself")
    if count > MOST_ENTRIES or length > LARGEST_DIRECTORY_BYTES:
        raise Refused("", f"has {count:,} entries; at most {MOST_ENTRIES:,} are read")
    if offset + length != tail_at + at:
        raise Refused("", "is no whole zip: something stands before it or inside it")
    return count, offset


def _judge_names(entries: list[zipfile.ZipInfo]) -> str:
    """The name of the one folder at the top. Raises Refused."""
    seen: dict[str, str] = {}
    plain: set[str] = set()
    roots: dict[str, str] = {}
    for entry in entries:
        name = entry.filename.removesuffix("/")
        if because := _wrong_name(entry) or _wrong_kind(entry):
            raise Refused(entry.orig_filename, because)
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen:
            raise Refused(name, f"stands there twice, or differs from {_shown(seen[key])!r} in no more than case")
        seen[key] = name
        if not entry.filename.endswith("/"):
            plain.add(key)
        root, _, rest = name.partition("/")
        roots.setdefault(root, name)
        if not rest and not entry.filename.endswith("/"):
            raise Refused(name, "lies outside of a folder; a bundle's archive holds one folder with the bundle in it")
    for key, name in seen.items():
        parts = key.split("/")
        if any("/".join(parts[:count]) in plain for count in range(1, len(parts))):
            raise Refused(name, "lies in what is a file")
    if len(roots) > 1:
        raise Refused(list(roots.values())[1], f"lies in a second folder beside {_shown(next(iter(roots)))!r}")
    root = next(iter(roots), "")
    if not plain:
        raise Refused("", "holds no file")
    if not NAME.fullmatch(root):
        raise Refused(root, "is no name for a bundle: letters, digits, '.', '_' and '-', at most 80")
    if not any(f"{root}/{name}" in seen.values() for name in (reading.MANIFEST, reading.SUMS, reading.SUMMARY)):
        raise Refused("", f"holds no bundle: there is no {root}/{reading.MANIFEST}")
    return root


def _wrong_name(entry: zipfile.ZipInfo) -> str:
    name = entry.orig_filename
    parts = name.removesuffix("/").split("/")
    if not entry.flag_bits & 0x800 and not name.isascii():
        return "has a name that is not said to be UTF-8"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "has an absolute path"
    if ".." in parts:
        return "leads out of its folder"
    if "\\" in name or ":" in name or re.search(r"[\x00-\x1f\x7f]", name) or "" in parts or "." in parts:
        return "has a name that is not a plain relative path"
    if any(part.startswith(".") for part in parts):
        return "is hidden"
    if len(name.encode("utf-8", "replace")) > LONGEST_PATH or any(len(part.encode("utf-8")) > 255 for part in parts):
        return f"has a path of more than {LONGEST_PATH} bytes"
    return ""


def _wrong_kind(entry: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    folder = entry.filename.endswith("/")
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
        return "is neither a plain file nor a folder"
    if entry.flag_bits & 0x2041:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is compressed by a method that is not read here ({entry.compress_type})"
    if folder and (entry.file_size or entry.compress_size > 2):
        return "is a folder with content of its own"
    if entry.file_size > LARGEST_FILE_BYTES:
        return f"has {entry.file_size:,} bytes; a file of a bundle has at most {LARGEST_FILE_BYTES:,}"
    return ""


def _judge_places(stream: IO[bytes], entries: list[zipfile.ZipInfo], directory_at: int) -> None:
    """No two entries share bytes, so that a small archive cannot unpack its bytes many times."""
    free_from = 0
    for entry in sorted(entries, key=lambda item: item.header_offset):
        if entry.header_offset < free_from:
            raise Refused(entry.filename, "overlaps another entry")
        stream.seek(entry.header_offset)
        header = stream.read(LOCAL.size)
        if len(header) < LOCAL.size or not header.startswith(b"PK\3\4"):
            raise Refused(entry.filename, "is not where the archive says it is")
        *_, name, extra = LOCAL.unpack(header)
        free_from = entry.header_offset + LOCAL.size + name + extra + entry.compress_size
        if free_from > directory_at:
            raise Refused(entry.filename, "reaches into the archive's own directory")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path, left: int) -> int:
    """How many bytes it had. Raises Refused as soon as it has too many."""
    place.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with place.open("xb") as target:
        for piece in _pieces(archive, entry):
            written += len(piece)
            if written > LARGEST_FILE_BYTES:
                raise Refused(entry.filename, f"has more than {LARGEST_FILE_BYTES:,} bytes")
            if written > left:
                raise Refused(entry.filename, f"brings the whole above {LARGEST_TOTAL_BYTES:,} bytes")
            if written > MEBIBYTE and written > LARGEST_RATIO * entry.compress_size:
                raise Refused(entry.filename, f"unpacks to more than {LARGEST_RATIO} times its size")
            target.write(piece)
    if written != entry.file_size:
        raise Refused(entry.filename, f"should have {entry.file_size:,} bytes and has {written:,}")
    place.chmod(0o644)
    return written


def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(entry) as source:
            while piece := source.read(PIECE):
                yield piece
    except BROKEN as error:
        raise Refused(entry.filename, f"cannot be read: {_why(error)}") from None


def _shown(name: str) -> str:
    text = name.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 120 else text[:117] + "..."


def _why(error: BaseException) -> str:
    return _shown(str(error)) or type(error).__name__


class _beside:
    """A folder of one's own beside ``target``, gone afterwards."""

    def __init__(self, target: Path) -> None:
        self._parent = target.absolute().parent

    def __enter__(self) -> Path:
        self._parent.mkdir(parents=True, exist_ok=True)
        self._draft = Path(tempfile.mkdtemp(prefix=".exporting-", dir=self._parent))
        return self._draft

    def __exit__(self, *_: Any) -> None:
        shutil.rmtree(self._draft, ignore_errors=True)
