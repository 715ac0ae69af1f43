"""What a run waits for, and nobody else has while it goes on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("runs", sa.Column("slot", sa.String, nullable=False, server_default=""))
    op.execute("UPDATE runs SET slot = CASE device WHEN 'auto' THEN 'cpu' ELSE device END")


def downgrade() -> None:
    op.drop_column("runs", "slot")
