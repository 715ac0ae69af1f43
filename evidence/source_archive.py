"""The tracked files that a run needs, in one archive that proves its own commit: for machines without git.

The same commit gives the same bytes: sorted names, no times, no owners, one compression. ``commit.json`` inside holds
the git objects down to every file (``provenance.commit_proof``), so whoever unpacks it recomputes the commit's id from
the files alone; ``provenance.source`` does, when a run starts in an unpacked archive.
"""

from __future__ import annotations

import io
import lzma
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from evidence import canonical, provenance

PACKED = ("assay", "evidence", "pyproject.toml", "training")
"""What a run needs of this repository. The page, the server, the tests and sealed bundles stay at home."""

LOADED = (".py", ".pth", ".so")
"""Files that Python would load where it finds them."""

NAME = "assay-source.tar.xz"
"""What the archive is called where it is attached."""


class CannotPack(RuntimeError):
    """The folder has no commit that could be packed; the message says what to do."""


class NotTheSource(RuntimeError):
    """The archive, or the unpacked folder, is not what it says or what was asked for."""


@dataclass(frozen=True)
class Archive:
    """``sha256`` is that of ``data``."""

    data: bytes
    sha256: str
    commit: str


def pack(repository: Path = provenance.REPOSITORY) -> Archive:
    """The commit checked out at ``repository``. Raises CannotPack where what would be packed differs from it, or there
    is no git."""
    facts = provenance.source(repository)
    if facts["kind"] != "git" or not (repository / ".git").exists():
        raise CannotPack(f"{repository} is not a git checkout, so there is no commit to pack; clone the repository")
    if changed := [name for name in facts["changed_files"] if name.partition("/")[0] in PACKED]:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise CannotPack(f"{changed[0]}{more} differ from the commit; commit or stash them, then pack again")
    commit = facts["commit"]
    proof = canonical.pretty(provenance.commit_proof(commit, repository, PACKED)).encode()
    files = {provenance.PROOF: (proof, False), **_tracked(repository, commit)}
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (data, executable) in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if executable else 0o644
            tar.addfile(entry, io.BytesIO(data))
    packed = lzma.compress(plain.getvalue(), preset=9)
    return Archive(packed, canonical.sha256(packed), commit)


def prove(folder: Path, commit: str = "") -> dict[str, str]:
    """``{commit, tree}`` of an unpacked archive, recomputed from its files. ``commit``: the one that it must be.

    Raises NotTheSource for a file that is missing, changed or not the commit's. Of files beside its folders, which an
    attached folder may have, those are refused that Python could take for the modules they are named after.
    """
    try:
        facts = provenance.unpacked(folder)
        committed = provenance.blobs(canonical.read(folder / provenance.PROOF))
    except provenance.BROKEN as error:
        raise NotTheSource(f"{folder} proves no commit: {error}") from None
    if changed := facts["changed_files"]:
        raise NotTheSource(f"{changed[0]} is not the file of commit {facts['commit']}; unpack the archive again")
    inside = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in LOADED)
    if foreign := sorted(set(inside) - set(committed)):
        raise NotTheSource(f"{foreign[0]} is no file of commit {facts['commit']}; unpack the archive into a new folder")
    if commit and facts["commit"] != commit:
        raise NotTheSource(f"the source is commit {facts['commit']}, but {commit} was asked for; attach its archive")
    return {"commit": facts["commit"], "tree": facts["tree"]}


def _tracked(repository: Path, commit: str) -> dict[str, tuple[bytes, bool]]:
    """Path → (content, executable) of the commit's files below PACKED."""
    present = [name for name in PACKED if (repository / name).exists()]
    try:
        done = subprocess.run(
            ["git", "-C", os.fspath(repository), "archive", "--format=tar", commit, "--", *present],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise CannotPack(f"git cannot read commit {commit}: {error.stderr.decode(errors='replace').strip()}") from None
    found = {}
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        for entry in tar:
            if entry.isdir():
                continue
            stream = tar.extractfile(entry) if entry.isfile() else None
            if stream is None:
                raise CannotPack(f"{entry.name} is a link, and links are not packed; commit the file itself")
            found[entry.name] = (stream.read(), bool(entry.mode & 0o100))
    return found
