"""The working tree's own files as a commit of a clean clone. CI's tree is clean; a developer's need not be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.runs import ROOT


def make(folder: Path, *names: str) -> Path:
    """``names`` of the working tree, committed in ``folder``."""
    folder.mkdir(exist_ok=True)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copyfile(ROOT / name, folder / name)
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    """Everything that lies in ``folder`` as its first commit."""
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "as it is"], check=True)
