"""The index on disk: one writer, many readers, one server per folder.

SQLAlchemy's default transaction mode for SQLite lets two read-modify-writes lose one another; here the one writer
begins IMMEDIATE, and readers cannot write at all. The index is never the truth: one that is broken is moved aside, and
the follower reads the run folders again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from backend.tables import metadata

CHOOSE = "choose another with ASSAY_HOME"
MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0007"
"""The newest of the migrations, which give the tables that backend/tables.py declares."""

SOUND_SQLITE = (3, 51, 3)
"""Before it, a crash of one process while another resets the write-ahead log could corrupt the file."""

PATIENCE_SECONDS = 5.0
SERVER_KEY = 0x41737361
"""Of the lock that a server holds on a PostgreSQL database."""

log = logging.getLogger("assay")


class Unusable(RuntimeError):
    """The data folder cannot be used; the message says why and what to do."""


class Database:
    """The index at ``path`` (or at ``url``, of a PostgreSQL database), made or upgraded as needed. Raises Unusable.

    ``notice``: what had to be done to the index, in a sentence; empty if it was well.
    """

    def __init__(self, path: Path, url: str = "") -> None:
        self.notice = ""
        self._held: Connection | None = None
        self._lock = _lock(path.parent)
        self._turn, self._reading = threading.RLock(), threading.local()
        try:
            if url:
                self._held = self._open_postgres(url)
            else:
                self._open_sqlite(path)
        except BaseException:
            os.close(self._lock)
            raise

    def _open_sqlite(self, path: Path) -> None:
        if problem := _problem(path):
            self._move_aside(path, problem)
        self._connect(path)
        try:
            self._upgrade()
        except OperationalError as error:
            self._dispose()
            raise Unusable(f"the index {path} cannot be written: {reason(error)}; {CHOOSE}") from None
        except (SQLAlchemyError, RuntimeError, NotImplementedError) as error:
            self._dispose()
            self._move_aside(path, f"it could not be upgraded ({reason(error)})")
            self._connect(path)
            self._upgrade()

    def _connect(self, path: Path) -> None:
        self._writer = _engine(path, "BEGIN IMMEDIATE", poolclass=StaticPool)
        self._reader = _engine(path, "BEGIN", poolclass=QueuePool, pool_size=8, max_overflow=32)
        event.listen(self._reader, "connect", _query_only)

    def _open_postgres(self, url: str) -> Connection:
        address = url.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)
        try:
            self._writer = create_engine(address, pool_size=1, max_overflow=0, pool_pre_ping=True)
            self._reader = create_engine(
                address, pool_size=8, max_overflow=32, pool_pre_ping=True, isolation_level="REPEATABLE READ",
                execution_options={"postgresql_readonly": True},
            )  # fmt: skip
            held = create_engine(address, poolclass=QueuePool, pool_size=1, isolation_level="AUTOCOMMIT").connect()
            if not held.exec_driver_sql(f"SELECT pg_try_advisory_lock({SERVER_KEY})").scalar():
                held.close()
                raise Unusable("another server works on the database of ASSAY_DATABASE_URL; stop it, or name another")
            self._upgrade()
        except ModuleNotFoundError:
            raise Unusable("ASSAY_DATABASE_URL needs the package psycopg: pip install 'psycopg[binary]'") from None
        except SQLAlchemyError as error:
            raise Unusable(f"the database of ASSAY_DATABASE_URL cannot be used: {reason(error)}") from None
        return held

    def _upgrade(self) -> None:
        with self.write() as connection:
            _upgrade(connection)

    def _move_aside(self, path: Path, problem: str) -> None:
        place = move_aside(path)
        self.notice = f"The index was broken: {problem}. It was moved to {place.name} and is read anew from the runs."
        log.warning(self.notice)

    @property
    def dialect(self) -> str:
        return self._writer.dialect.name

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction of the one writer, committed unless the body raises."""
        with self._turn, self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot to read from; inside of another one, that one."""
        if (held := getattr(self._reading, "connection", None)) is not None:
            yield held
            return
        with self._reader.connect() as connection:
            self._reading.connection = connection
            try:
                yield connection
            finally:
                self._reading.connection = None

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held.engine.dispose()
        self._dispose()
        os.close(self._lock)

    def _dispose(self) -> None:
        self._reader.dispose()
        self._writer.dispose()


def insert(connection: Connection, table: Table) -> Any:
    """INSERT that knows ON CONFLICT, in the dialect that is spoken."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)


def reason(error: Exception) -> str:
    """What went wrong, in the words of the database, on one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split()).rstrip(".")


def library() -> ModuleType:
    """The SQLite that is used: the newest one there is."""
    with suppress(ImportError):
        import pysqlite3.dbapi2 as newer

        return newer  # type: ignore[no-any-return]
    import sqlite3

    return sqlite3


def warn_of_old_library() -> None:
    version = library().sqlite_version
    if tuple(map(int, version.split("."))) < SOUND_SQLITE:
        log.warning(
            "SQLite %s can corrupt the index when a process dies at the wrong moment (it would be read anew from the "
            "runs); 3.51.3 cannot: pip install pysqlite3",
            version,
        )


def move_aside(path: Path) -> Path:
    """Rename an index, with what belongs to it; returns its new place."""
    number = 1
    while (place := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    for end in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(place.with_name(place.name + end))
    return place


def backup(path: Path, target: Path) -> None:
    """A copy of the index at ``path``, whole although a server writes on. Raises Unusable."""
    if not path.is_file():
        raise Unusable(f"there is no index at {path}")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    sql = library()
    try:
        source = sql.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE_SECONDS)
        with _closing(source), _closing(sql.connect(draft)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        if problem := _problem(draft):
            raise Unusable(f"the copy of {path} is not sound: {problem}")
        draft.replace(target)
    except (sql.Error, OSError) as error:
        raise Unusable(f"the index cannot be copied to {target}: {reason(error)}") from None
    finally:
        draft.unlink(missing_ok=True)


def _problem(path: Path) -> str:
    """What is wrong with the file of an index; empty if nothing is, or if there is none."""
    if not path.exists():
        return ""
    sql = library()
    try:
        with _closing(sql.connect(path, timeout=PATIENCE_SECONDS)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        return "" if found == "ok" else " ".join(found.split())
    except sql.OperationalError as error:
        raise Unusable(f"the index {path} cannot be read: {reason(error)}; {CHOOSE}") from None
    except sql.DatabaseError as error:
        return reason(error)


@contextmanager
def _closing(connection: Any) -> Iterator[Any]:
    try:
        yield connection
    finally:
        connection.close()


def _engine(path: Path, begin: str, **pool: Any) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        module=library(),
        connect_args={"check_same_thread": False, "timeout": PATIENCE_SECONDS},
        **pool,
    )

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
        connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{HEAD}')")
    elif "alembic_version" not in there or _versions(connection) != [HEAD]:
        migrate(connection)


def _versions(connection: Connection) -> list[Any]:
    return list(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars())


def migrate(connection: Connection) -> None:
    """Run every migration that the index has not seen. Raises RuntimeError for an index of a version unknown here."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise RuntimeError(str(error)) from None
