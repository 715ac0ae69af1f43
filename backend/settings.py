"""What the server is told from outside. The only module here that reads the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from backend import webhook
from backend.launchers.kaggle import credentials
from backend.launchers.kaggle.credentials import Account

REPOSITORY = Path(__file__).resolve().parent.parent


class SettingsError(ValueError):
    """A variable that cannot be used; the message names it."""


@dataclass(frozen=True)
class Thresholds:
    """When a watcher speaks up. ``window``: steps that a median is of; ``history``: latest steps looked at.
    ``divergence``: times its best loss. ``throughput``: share of what it was. ``stall``: the longer of the two.
    ``silence_seconds``: without a word outside of the steps, and ``silence_times`` what that phase took before."""

    every_seconds: float = 2.0
    window: int = 20
    history: int = 1_000
    divergence: float = 2.0
    throughput: float = 0.5
    stall_seconds: float = 60.0
    stall_steps: float = 20.0
    silence_seconds: float = 600.0
    silence_times: float = 3.0
    disk_share: float = 0.05
    disk_bytes: int = 5 << 30


@dataclass(frozen=True)
class Settings:
    """``home`` holds ``runs/``, ``trash/``, ``preflights/``, ``replays/``, ``imported/``, ``data/`` and the index; the
    commands get the folder as last word. ``database_url``: of a PostgreSQL database that holds the index instead.
    ``key``: the name of the key that bundles are signed with, "" for the only one there is. ``client_seconds``: how
    long a client may take nothing of what it is sent."""

    home: Path = REPOSITORY / "data"
    host: str = "127.0.0.1"
    port: int = 8000
    demo: bool = True
    token: str = ""
    key: str = ""
    kaggle: Account = field(default_factory=Account)
    webhook: str = ""
    webhook_private: bool = False
    watch: Thresholds = Thresholds()
    database_url: str = ""
    client_seconds: int = 60
    extra_data_roots: tuple[Path, ...] = ()
    submissions: Path = REPOSITORY / "submission_runs"
    configs: Path = REPOSITORY / "training" / "configs"
    page: Path = REPOSITORY / "frontend" / "dist"
    trainer_command: tuple[str, ...] = field(default=(sys.executable, "-m", "training"))
    preflight_command: tuple[str, ...] = field(default=(sys.executable, "-m", "training.preflight"))
    replay_command: tuple[str, ...] = field(default=(sys.executable, "-m", "evidence.replay_job"))

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def trash(self) -> Path:
        """Runs that were deleted, until the trash is emptied."""
        return self.home / "trash"

    @property
    def preflights(self) -> Path:
        return self.home / "preflights"

    @property
    def replays(self) -> Path:
        return self.home / "replays"

    @property
    def imported(self) -> Path:
        """Bundles that others sent: ``<name here>/<the bundle's own name>/``."""
        return self.home / "imported"

    @property
    def database(self) -> Path:
        return self.home / "assay.db"

    @cached_property
    def data_roots(self) -> tuple[Path, ...]:
        """The folders that data, weights and tokenizers may come from, in the order they are tried."""
        return (REPOSITORY / "training" / "data", self.home / "data", *self.extra_data_roots)

    @property
    def loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from ``ASSAY_*`` variables. Raises SettingsError."""
    plain = Settings()
    port = environment.get("ASSAY_PORT", "8000")
    if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65_535:
        raise SettingsError(f"ASSAY_PORT must be a port from 1 to 65535, got {port!r}")
    roots = [Path(item).absolute() for item in environment.get("ASSAY_DATA_ROOTS", "").split(os.pathsep) if item]
    hook = environment.get("ASSAY_WEBHOOK", "")
    if hook:
        try:
            webhook.checked(hook)
        except webhook.Refused as error:
            raise SettingsError(f"ASSAY_WEBHOOK cannot be used: {error}") from None
    database_url = environment.get("ASSAY_DATABASE_URL", "")
    if database_url and not database_url.startswith(("postgresql://", "postgres://")):
        raise SettingsError("ASSAY_DATABASE_URL must begin with postgresql://; without it the index is a file")
    return Settings(
        home=_folder(environment, "ASSAY_HOME", plain.home),
        host=environment.get("ASSAY_HOST") or plain.host,
        port=int(port),
        database_url=database_url,
        demo=environment.get("ASSAY_DEMO", "1") not in ("0", "false", "no"),
        token=environment.get("ASSAY_TOKEN", ""),
        key=environment.get("ASSAY_KEY", ""),
        kaggle=credentials.read(environment, Path.home()),
        webhook=hook,
        webhook_private=environment.get("ASSAY_WEBHOOK_PRIVATE", "") in ("1", "true", "yes"),
        extra_data_roots=tuple(roots),
        submissions=_folder(environment, "ASSAY_SUBMISSIONS", plain.submissions),
    )


def _folder(environment: Mapping[str, str], name: str, otherwise: Path) -> Path:
    value = environment.get(name, "")
    return Path(value).expanduser().absolute() if value else otherwise
