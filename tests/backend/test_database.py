"""The index's tables: one shape, whichever way an index comes to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect

from backend.database import HEAD, MIGRATIONS, Database, migrate

TABLES = ("runs", "rows", "chunks", "events")


def _shape(connection: Connection) -> dict[str, Any]:
    """Columns, keys and indexes of every table, as SQLite has them."""
    seen = inspect(connection)
    assert {*TABLES, "alembic_version"} == {*seen.get_table_names()}
    return {
        table: (
            [{**column, "type": str(column["type"])} for column in seen.get_columns(table)],
            seen.get_pk_constraint(table),
            sorted((index["name"] or "", index["column_names"]) for index in seen.get_indexes(table)),
            seen.get_table_options(table),
        )
        for table in TABLES
    }


def test_a_new_index_is_what_the_migrations_make(tmp_path: Path) -> None:
    migrated = create_engine("sqlite://")
    with migrated.begin() as connection:
        migrate(connection)
        expected = _shape(connection)
    migrated.dispose()
    database = Database(tmp_path / "assay.db")
    with database.read() as connection:
        assert _shape(connection) == expected
    database.close()


def test_the_newest_migration_is_the_one_the_server_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_an_index_that_knows_no_migration_is_migrated(tmp_path: Path) -> None:
    older = create_engine(f"sqlite:///{tmp_path / 'assay.db'}")
    with older.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    older.dispose()
    database = Database(tmp_path / "assay.db")
    with database.read() as connection:
        assert _shape(connection)
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == [HEAD]
    database.close()
