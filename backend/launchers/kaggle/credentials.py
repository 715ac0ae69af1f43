"""Who we are to Kaggle: a token, or a user with a key, from where Kaggle's own client looks for them.

Files are read each time somebody asks, so that a token that was renewed counts at once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evidence.endpoints import KAGGLE as ENDPOINT

VARIABLES = (
    "KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "ASSAY_KAGGLE_ENDPOINT",
    "ASSAY_KAGGLE_DATASETS", "ASSAY_KAGGLE_POLL",
)  # fmt: skip
"""Of the environment, what the job that watches a session needs; no other trainer gets them."""

HOW = (
    "put an access token into KAGGLE_API_TOKEN or ~/.kaggle/access_token, or a kaggle.json into ~/.kaggle "
    "(kaggle.com, Settings, API)"
)


class NoCredentials(LookupError):
    """There is nothing to sign in with; ``str()`` says what to do."""


@dataclass(frozen=True)
class Credentials:
    """``token`` alone, or ``user`` with ``key``. A token's user is known to Kaggle alone."""

    token: str = field(default="", repr=False)
    user: str = ""
    key: str = field(default="", repr=False)

    def headers(self) -> dict[str, str]:
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        return {"Authorization": "Basic " + base64.b64encode(f"{self.user}:{self.key}".encode()).decode()}


@dataclass(frozen=True)
class Account:
    """Where to look: variables first, then the files of ``folder``."""

    endpoint: str = ENDPOINT
    token: str = field(default="", repr=False)
    user: str = ""
    key: str = field(default="", repr=False)
    folder: Path = Path()

    def find(self) -> Credentials:
        """Raises NoCredentials."""
        if token := self.token and _token(self.token):
            return Credentials(token=token)
        for name in ("access_token", "access_token.txt"):
            if token := _read(self.folder / name):
                return Credentials(token=token)
        if self.user and self.key:
            return Credentials(user=self.user, key=self.key)
        if text := _read(self.folder / "kaggle.json"):
            try:
                document = json.loads(text)
                return Credentials(user=str(document["username"]), key=str(document["key"]))
            except (ValueError, LookupError, TypeError):
                raise NoCredentials("kaggle.json holds no username and key; download a new one from Kaggle") from None
        raise NoCredentials(f"no Kaggle account is set up here: {HOW}")

    @property
    def known(self) -> bool:
        try:
            self.find()
        except NoCredentials:
            return False
        return True


def read(environment: Mapping[str, str], home: Path) -> Account:
    """The account of the variables that Kaggle's own client reads; ``ASSAY_KAGGLE_ENDPOINT`` names another server."""
    return Account(
        endpoint=environment.get("ASSAY_KAGGLE_ENDPOINT", "").rstrip("/") or ENDPOINT,
        token=environment.get("KAGGLE_API_TOKEN", ""),
        user=environment.get("KAGGLE_USERNAME", ""),
        key=environment.get("KAGGLE_KEY", ""),
        folder=Path(environment.get("KAGGLE_CONFIG_DIR") or home / ".kaggle"),
    )


def _token(text: str) -> str:
    """The variable holds a token, or names a file that does."""
    return _read(Path(text)) or text if "/" in text else text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
