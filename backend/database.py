"""The index on disk: one writer, many readers, one server per folder.

SQLAlchemy's default transaction mode for SQLite lets two read-modify-writes lose one another; here the one writer
begins IMMEDIATE, and readers cannot write at all.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import QueuePool, StaticPool

from backend.tables import metadata

CHOOSE = "choose another with ASSAY_HOME"
MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0003"
"""The newest of the migrations, which give the tables that backend/tables.py declares."""


class Unusable(RuntimeError):
    """The data folder cannot be used; the message says why and what to do."""


class Database:
    """The index at ``path``, created or upgraded as needed. Raises Unusable."""

    def __init__(self, path: Path) -> None:
        self._lock = _lock(path.parent)
        self._turn = threading.RLock()
        self._writer = _engine(path, "BEGIN IMMEDIATE", poolclass=StaticPool)
        self._reader = _engine(path, "BEGIN", poolclass=QueuePool, pool_size=8, max_overflow=32)
        event.listen(self._reader, "connect", _query_only)
        with self.write() as connection:
            _upgrade(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction of the one writer, committed unless the body raises."""
        with self._turn, self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot to read from."""
        with self._reader.connect() as connection:
            yield connection

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()
        os.close(self._lock)


def insert(connection: Connection, table: Table) -> Any:
    """INSERT that knows ON CONFLICT, in the dialect that is spoken."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _engine(path: Path, begin: str, **pool: Any) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": 10.0}, **pool)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # we begin by ourselves, below
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _query_only(connection: Any, _: object) -> None:
    connection.execute("PRAGMA query_only=ON")


def _lock(home: Path) -> int:
    """Hold the folder for this process; the kernel lets go of it when the process ends, however it ends."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unusable(f"the data folder {home} cannot be written: {error.strerror}; {CHOOSE}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise Unusable(f"another server works on the data folder {home}; stop it, or {CHOOSE}") from None
    return handle


def _upgrade(connection: Connection) -> None:
    """Bring the tables to HEAD. Only an index of an older version needs Alembic, which is slow to import."""
    there = inspect(connection).get_table_names()
    if not there:
        metadata.create_all(connection)
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (HEAD,))
    elif "alembic_version" not in there or _versions(connection) != [HEAD]:
        migrate(connection)


def _versions(connection: Connection) -> list[Any]:
    return list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())


def migrate(connection: Connection) -> None:
    """Run every migration that the index has not seen."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
