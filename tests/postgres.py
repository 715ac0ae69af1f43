"""A PostgreSQL server for tests: made in a folder, on a socket there, gone with it. Durability is off."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg

WANTED = "ASSAY_TEST_POSTGRES"
"""Set to 1, it has the tests of the index keep it in PostgreSQL."""


@cache
def binaries() -> Path | None:
    """Where initdb and pg_ctl lie."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


@contextmanager
def server() -> Iterator[str]:
    """The address of a server: a database's name follows the last slash."""
    programs = binaries()
    assert programs, "there is no PostgreSQL here: apt-get install postgresql"
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as place:
        as_owner = []
        if os.getuid() == 0:  # it does not run as root
            shutil.chown(place, "postgres", "postgres")
            as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        data = f"{place}/data"
        subprocess.run(
            [*as_owner, programs / "initdb", "-D", data, "-U", "assay", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=place,
        )
        how = f"-c listen_addresses= -c unix_socket_directories={place} -c fsync=off -c max_connections=200"
        command = [*as_owner, programs / "pg_ctl", "-D", data, "-w", "-l", f"{place}/log"]
        subprocess.run([*command, "-o", how, "start"], check=True, stdout=subprocess.DEVNULL, cwd=place)
        try:
            yield f"postgresql://assay@/NAME?host={place}"
        finally:
            subprocess.run([*command, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd=place)


def database(address: str, home: Path) -> str:
    """The address of the database that belongs to a data folder, made if it is not there."""
    name = "home_" + hashlib.sha256(str(home).encode()).hexdigest()[:12]
    with psycopg.connect(address.replace("NAME", "postgres"), autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if not known:
            connection.execute(f"CREATE DATABASE {name}")
    return address.replace("NAME", name)


def drop(address: str) -> None:
    """Delete a database that ``database`` made."""
    name = address.partition("@/")[2].partition("?")[0]
    with psycopg.connect(address.replace(name, "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
