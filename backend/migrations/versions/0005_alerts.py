"""What watchers noticed of a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("runs", sa.Column("alerts", sa.JSON, nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("runs", "alerts")
