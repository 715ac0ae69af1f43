"""What must not be installed beside the trainer, read from the packages' metadata: nothing is imported for it."""

from __future__ import annotations

from importlib import metadata

from training.errors import PackageError

FIRST_REFUSED = 5
"""transformers' major version that no longer has the Flax models and changed the tokenizers under Gemma 1."""


def refuse_transformers() -> str:
    """Why the installed transformers may not be used; "" if it may, or if there is none."""
    try:
        version = metadata.version("transformers")
    except metadata.PackageNotFoundError:
        return ""
    if int(version.split(".")[0]) < FIRST_REFUSED:
        return ""
    return (
        f"transformers {version} is refused: from {FIRST_REFUSED} on it has no Flax models, and other tokenizers for "
        f"Gemma 1; install one below {FIRST_REFUSED}: pip install 'transformers<{FIRST_REFUSED}'"
    )


def check() -> None:
    """Raises PackageError."""
    if refusal := refuse_transformers():
        raise PackageError(refusal)
