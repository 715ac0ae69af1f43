"""Where a run comes from: commit, executed files, host, packages, environment. Device facts are the trainer's.

The commit is recorded with the git objects that prove it: the commit's text and the trees on the way to every file
under ``SOURCE_FOLDERS``. Whoever holds a file can recompute blob, tree and commit ids with SHA-1 alone, without git
(https://git-scm.com/book/en/v2/Git-Internals-Git-Objects), so "this code belongs to that commit" needs no trust.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from evidence import canonical
from evidence.events import FileDigest

SOURCE_FOLDERS = ("evidence", "training")
"""Packages of this repository that a trainer loads."""

NOT_SOURCE = ("submission_runs",)
"""Sealed bundles are outputs: a new one does not make the working tree dirty."""

REPOSITORY = Path(__file__).resolve().parent.parent

PROOF = "commit.json"
"""Where git is not, the proof of the commit that a source archive brings along (``evidence/source_archive.py``)."""

BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What reading a proof may raise that is none."""

ALSO_PASSED = "ASSAY_ALSO_PASSED"

_PASSED_ON = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "HF_HOME",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "KAGGLE_INPUT",
    "ASSAY_STOP_GRACE",
    "ASSAY_COORDINATOR",
    "ASSAY_PROCESSES",
    "ASSAY_PROCESS",
    "ASSAY_JOIN_SECONDS",
)
_PASSED_PREFIXES = ("LC_", "JAX_", "XLA_", "TPU_", "LIBTPU_", "CUDA_", "NVIDIA_", "OMP_")
_RECORDED = ("LANG", "TZ", "XLA_FLAGS", "LIBTPU_INIT_ARGS", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
_RECORDED_PREFIXES = ("JAX_",)


def config_name(path: Path) -> str:
    """What evidence calls a config's file: its path in the repository, or its bare name (a folder of this machine is
    nobody else's business)."""
    path = path.resolve()
    return path.relative_to(REPOSITORY).as_posix() if path.is_relative_to(REPOSITORY) else path.name


def child_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables a trainer gets: an allow-list, so that the server's secrets do not leak into a log. ``ALSO_PASSED``
    names those that one launcher's trainer needs besides."""
    passed = {*_PASSED_ON, ALSO_PASSED, *environment.get(ALSO_PASSED, "").split(",")}
    return {name: value for name, value in environment.items() if name in passed or name.startswith(_PASSED_PREFIXES)}


def recorded_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that are written down: those that change what is computed, never one that can hold a secret."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if value and (name in _RECORDED or name.startswith(_RECORDED_PREFIXES))
    }


def host_name_sha256() -> str:
    return canonical.sha256(platform.node().encode())


def host() -> dict[str, Any]:
    """This machine. Its name is kept as a digest only."""
    return {
        "name_sha256": host_name_sha256(),
        "os": _os_name(),
        "kernel": platform.release(),
        "cpu_model": _first_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "logical_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_bytes": _memory_bytes(),
        "machine": platform.machine(),
    }


def packages() -> list[str]:
    """``name==version`` of every installed distribution, sorted."""
    found = {
        f"{item.metadata['Name'].lower()}=={item.version}" for item in metadata.distributions() if item.metadata["Name"]
    }
    return sorted(found)


def source(root: Path = REPOSITORY) -> dict[str, Any]:
    """The commit checked out at ``root``, or proven by its archive, and what differs from it; ``kind: files`` where
    there is neither."""
    try:
        commit = _git(root, "rev-parse", "HEAD").strip()
        top = Path(_git(root, "rev-parse", "--show-toplevel").strip())
        if top.resolve() != root.resolve():
            raise OSError("the repository is another one")
    except (OSError, subprocess.CalledProcessError):
        try:
            return unpacked(root)
        except BROKEN:
            return {"kind": "files", "commit": "none"}
    excluded = [f":(exclude){name}" for name in NOT_SOURCE]
    lines = _git(
        root, "-c", "core.quotePath=false", "status", "--porcelain", "-uall", "--", ".", *excluded
    ).splitlines()
    facts = {
        "kind": "git",
        "commit": commit,
        "tree": _git(root, "rev-parse", "HEAD^{tree}").strip(),
        "changed_files": sorted(line[3:].rpartition(" -> ")[2] for line in lines),
    }
    remote = _remote(root)
    return {**facts, "repository": remote} if remote else facts


def unpacked(root: Path) -> dict[str, Any]:
    """As ``source``, of the archive unpacked at ``root``: its files' ids are recomputed up to the commit's.

    Raises OSError or ValueError (and KeyError, TypeError, AttributeError for a misshapen proof) where none is proven.
    """
    proof = canonical.read(root / PROOF)
    if not isinstance(proof, dict):
        raise ValueError(f"{PROOF} is not an object")
    committed = {name: item for name, item in blobs(proof).items() if "/" in name or (root / name).is_file()}
    folders = sorted({name.partition("/")[0] for name in committed if "/" in name})
    here = {
        path.relative_to(root).as_posix()
        for folder in folders
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    changed = (here - set(committed)) | {
        name
        for name, item in committed.items()
        if not (root / name).is_file() or blob_id((root / name).read_bytes()) != item
    }
    return {"kind": "git", "commit": proof["commit"], "tree": _tree_of(proof["text"]), "changed_files": sorted(changed)}


def commit_proof(commit: str, root: Path = REPOSITORY, folders: Iterable[str] = SOURCE_FOLDERS) -> dict[str, Any]:
    """Git objects from ``commit`` down to every folder below ``folders``; without git, from the proof that is there.

    ``{"commit": id, "text": str, "trees": {tree id: [[mode, name, id], …]}}``; see ``tree_id`` and ``commit_id``.
    """
    wanted = tuple(folders)
    if (root / ".git").exists():
        text = _git(root, "cat-file", "commit", commit)

        def entries_of(tree: str) -> list[list[str]]:
            return [_entry(line) for line in _git(root, "ls-tree", "-z", tree).split("\0") if line]
    else:
        proof = canonical.read(root / PROOF)
        text, entries_of = proof["text"], proof["trees"].__getitem__
    trees: dict[str, list[list[str]]] = {}
    waiting = [(_tree_of(text), "")]
    while waiting:
        tree, folder = waiting.pop()
        trees[tree] = entries = entries_of(tree)
        waiting += [(item, name) for mode, name, item in entries if mode == "40000" and (folder or name in wanted)]
    return {"commit": commit, "text": text, "trees": trees}


def commit_id(text: str) -> str:
    """Git's id of a commit with this text."""
    return _object_id("commit", text.encode())


def tree_id(entries: Iterable[Iterable[str]]) -> str:
    """Git's id of a tree with these ``(mode, name, id)`` entries, in git's own order."""
    body = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(item) for mode, name, item in entries)
    return _object_id("tree", body)


def blob_id(data: bytes) -> str:
    """Git's id of a file with this content."""
    return _object_id("blob", data)


def blobs(proof: Mapping[str, Any]) -> dict[str, str]:
    """Path → blob id of every file that ``proof`` reaches. Raises ValueError where an id is not its content's."""
    if commit_id(proof["text"]) != proof["commit"]:
        raise ValueError(f"the commit's text has id {commit_id(proof['text'])}, not {proof['commit']}")
    for name, entries in proof["trees"].items():
        if tree_id(entries) != name:
            raise ValueError(f"tree {name} has id {tree_id(entries)}")
    found: dict[str, str] = {}
    waiting = [(_tree_of(proof["text"]), "")]
    while waiting:
        tree, folder = waiting.pop()
        for mode, name, item in proof["trees"][tree]:
            if mode != "40000":
                found[folder + name] = item
            elif item in proof["trees"]:
                waiting.append((item, f"{folder}{name}/"))
    return found


def snapshot_source(run: Path, extra: Iterable[Path] = (), root: Path = REPOSITORY) -> list[FileDigest]:
    """Copy the repository's modules loaded into this process, and ``extra`` files, to ``run/source/``.

    Returns their digests; paths are relative to ``root``. Files outside ``root`` are left out.
    """
    loaded = {Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    folders = tuple(root / name for name in SOURCE_FOLDERS)
    ours = {path.resolve() for path in loaded if any(path.resolve().is_relative_to(folder) for folder in folders)}
    ours |= {path.resolve() for path in extra if path.is_file() and path.resolve().is_relative_to(root)}
    digests = []
    for path in sorted(ours):
        relative = path.relative_to(root)
        copy = run / "source" / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        digests.append(
            FileDigest(path=relative.as_posix(), sha256=canonical.sha256_file(copy), bytes=copy.stat().st_size)
        )
    return digests


def _object_id(kind: str, body: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()


def _tree_of(text: str) -> str:
    """The root tree that a commit's text names."""
    return text.split("\n", 1)[0].removeprefix("tree ")


def _entry(line: str) -> list[str]:
    facts, _, name = line.partition("\t")
    mode, _, item = facts.split(" ")
    return [mode.lstrip("0"), name, item]


def _git(root: Path, *arguments: str) -> str:
    """What git prints. Raises CalledProcessError, or OSError where there is no git."""
    done = subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, timeout=60)
    return done.stdout.decode("utf-8", "surrogateescape")


def _remote(root: Path) -> str:
    """The public address of ``origin``, without credentials; empty for none and for a folder of this machine."""
    try:
        address = _git(root, "remote", "get-url", "origin").strip()
    except subprocess.CalledProcessError:
        return ""
    scheme, separator, rest = address.partition("://")
    if not separator or scheme == "file":
        return ""
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _os_name() -> str:
    name = _first_value("/etc/os-release", "PRETTY_NAME", "=").strip('"')
    return name or platform.system()


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _first_value(path: str, key: str, separator: str = ":") -> str:
    try:
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(separator)
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""
