"""Runs, their steps, and every other event."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("config", sa.String, nullable=False),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_at", sa.String),
        sa.Column("ended_at", sa.String),
        sa.Column("bundles", sa.JSON, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("invalid_lines", sa.Integer, nullable=False),
        sa.Column("phase", sa.String),
        sa.Column("hardware", sa.String),
        sa.Column("parameters", sa.Integer),
        sa.Column("exact_match", sa.Float),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("loss", sa.Float),
        sa.Column("learning_rate", sa.Float),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("tokens_per_second", sa.Float),
        sa.Column("pace_seconds", sa.Float),
        sa.Column("spark", sa.JSON, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_index("runs_by_state", "runs", ["state"])
    op.create_index("runs_by_revision", "runs", ["revision"])
    op.create_table(
        "steps",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("step", sa.Integer, primary_key=True),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("loss", sa.Float, nullable=False),
        sa.Column("grad_norm", sa.Float, nullable=False),
        sa.Column("param_norm", sa.Float, nullable=False),
        sa.Column("learning_rate", sa.Float, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("step_seconds", sa.Float, nullable=False),
        sa.Column("tokens_per_second", sa.Float),
        sa.Column("epoch", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("steps_by_offset", "steps", ["run", "offset"])
    op.create_table(
        "events",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("offset", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("events_by_kind", "events", ["run", "kind", "offset"])


def downgrade() -> None:
    for table in ("events", "steps", "runs"):
        op.drop_table(table)
