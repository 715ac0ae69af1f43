"""The folder with a run's initial weights: named, fetched from the hub at a commit, or attached by Kaggle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from evidence.spec import WeightsSpec
from training.errors import WeightsError

KAGGLE_INPUT = "/kaggle/input"


def folder_of(asked: WeightsSpec) -> Path | None:
    """Where the weights lie on this machine; None for random ones. Raises WeightsError."""
    if asked.source == "random":
        return None
    if asked.source == "hub":
        return _fetched(asked.repository, asked.revision)
    if asked.source == "kaggle":
        return _attached(asked.handle, Path(os.environ.get("KAGGLE_INPUT") or KAGGLE_INPUT))
    if not Path(asked.path).is_dir():
        raise WeightsError(f"weights.path {asked.path} is not a folder")
    return Path(asked.path)


def name_of(asked: WeightsSpec) -> str:
    """The source in words, for the log and the evidence."""
    return {
        "random": "random",
        "folder": f"folder {Path(asked.path).name}",
        "hub": f"{asked.repository}@{asked.revision}",
        "kaggle": f"kaggle {asked.handle}",
    }[asked.source]


def _attached(handle: str, root: Path) -> Path:
    """The model ``owner/model/framework/variation/version`` below Kaggle's input folder.

    Kaggle mounts it at ``models/`` and the whole handle, and on older images at the handle without its owner. It is
    not consistent in the framework's capitals, so those do not count.
    """
    if not root.is_dir():
        raise WeightsError(
            f"the Kaggle model {handle} is not attached: there is no folder {root}; run on Kaggle with the model as "
            "an input, or name the folder in KAGGLE_INPUT"
        )
    for parts in (["models", *handle.split("/")], handle.split("/")[1:]):
        if found := _below(root, parts):
            return found
    there = list(_models(root))
    holds = "attached are " + ", ".join(there[:10]) if there else "no model is"
    raise WeightsError(f"the Kaggle model {handle} is not attached to {root}: {holds}; add it as an input")


def _below(folder: Path, parts: list[str]) -> Path | None:
    for part in parts:
        names = {path.name: path for path in folder.iterdir() if path.is_dir()}
        same = [path for name, path in sorted(names.items()) if name.lower() == part.lower()]
        if not same:
            return None
        folder = names.get(part, same[0])
    return folder


def _models(root: Path) -> Iterator[str]:
    """What is attached, as handles; those of the older layout do not tell their owner."""
    for pattern, owner in (("models/*/*/*/*/*", ""), ("*/*/*/*", "…/")):
        for path in sorted(root.glob(pattern)):
            relative = path.relative_to(root).as_posix()
            if path.is_dir() and path.name.isdigit() and (not owner or not relative.startswith("models/")):
                yield owner + relative.removeprefix("models/")


def _fetched(repository: str, revision: str) -> Path:
    """A snapshot of the hub's repository at exactly the commit ``revision``."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    token = os.environ.get("HF_TOKEN")
    try:
        folder = Path(
            snapshot_download(repository, revision=revision, token=token, allow_patterns=["*.safetensors", "*.json"])
        )
    except GatedRepoError:
        told = "HF_TOKEN has no access to it" if token else "put a token that has access into HF_TOKEN"
        raise WeightsError(f"{repository} is gated: accept its licence on the hub, and {told}") from None
    except RepositoryNotFoundError:
        told = "with this HF_TOKEN" if token else "without HF_TOKEN; a private one needs it"
        raise WeightsError(f"weights.repository {repository} is not on the hub {told}") from None
    except RevisionNotFoundError:
        raise WeightsError(f"weights.revision {revision} is not a commit of {repository} on the hub") from None
    except LocalEntryNotFoundError:
        raise WeightsError(
            f"{repository} at {revision} cannot be fetched: the hub does not answer, and no copy is on this machine"
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise WeightsError(
            f"{repository} at {revision} cannot be fetched: {' '.join(str(error).split())[:300]}"
        ) from None
    if folder.name != revision:
        raise WeightsError(f"weights.revision {revision} was asked of {repository}, and the hub gave {folder.name}")
    return folder
