"""What each step used of its devices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = (
    ("model_flops_utilization", sa.Float),
    ("device_memory_bytes", sa.Integer),
    ("device_memory_peak_bytes", sa.Integer),
)


def upgrade() -> None:
    for name, kind in COLUMNS:
        op.add_column("steps", sa.Column(name, kind))


def downgrade() -> None:
    for name, _ in COLUMNS:
        op.drop_column("steps", name)
