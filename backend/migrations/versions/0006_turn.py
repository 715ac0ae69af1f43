"""What a run's place in the queue goes by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("runs", sa.Column("turn", sa.String, nullable=False, server_default=""))
    op.execute("UPDATE runs SET turn = id")


def downgrade() -> None:
    op.drop_column("runs", "turn")
