"""Steps as columns: a tail of rows and chunks of them. Everything is read again from the run folders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.drop_table("steps")
    op.drop_table("events")
    op.execute(sa.text("DELETE FROM runs"))
    op.add_column("runs", sa.Column("mark", sa.String, nullable=False, server_default=""))
    op.add_column("runs", sa.Column("generation", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "events",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("offset", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("events_by_kind", "events", ["run", "kind", "offset"])
    op.create_table(
        "rows",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("offset", sa.Integer, primary_key=True),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("values", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "chunks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run", sa.String, nullable=False),
        sa.Column("series", sa.String, nullable=False),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("first_step", sa.Integer, nullable=False),
        sa.Column("last_step", sa.Integer, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("low", sa.Float),
        sa.Column("low_row", sa.Integer),
        sa.Column("high", sa.Float),
        sa.Column("high_row", sa.Integer),
        sa.Column("gaps", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("chunks_by_place", "chunks", ["run", "series", "first"], unique=True)


def downgrade() -> None:
    """There is no way back but to delete the index: an older server makes its own from the run folders."""
    raise NotImplementedError
