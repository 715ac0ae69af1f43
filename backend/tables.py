"""The index's tables. Everything in them is read from the run folders; migrations/ creates and changes them."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, false

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("config", String, nullable=False),
    Column("device", String, nullable=False),
    Column("notes", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("created_at", String, nullable=False),
    Column("steps", Integer, nullable=False),
    # From launch.json, exit.json and their like.
    Column("state", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", String),
    Column("ended_at", String),
    Column("bundles", JSON, nullable=False),
    # From events.jsonl up to byte ``offset``.
    Column("offset", Integer, nullable=False),
    Column("invalid_lines", Integer, nullable=False),
    Column("phase", String),
    Column("hardware", String),
    Column("parameters", Integer),
    Column("exact_match", Float),
    Column("step", Integer, nullable=False),
    Column("loss", Float),
    Column("learning_rate", Float),
    Column("tokens", Integer, nullable=False),
    Column("tokens_per_second", Float),
    Column("pace_seconds", Float),
    Column("spark", JSON, nullable=False),
    # Grows with every change of a row, over all rows: what a stream has not sent yet.
    Column("revision", Integer, nullable=False),
    # From alerts.jsonl.
    Column("alerts", JSON, nullable=False, server_default="[]"),
    # From labels.json, as the name, notes and tags of a run that was given others.
    Column("archived", Boolean, nullable=False, server_default=false()),
    Index("runs_by_state", "state"),
    Index("runs_by_revision", "revision"),
)

steps = Table(
    "steps",
    metadata,
    Column("run", String, primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("offset", Integer, nullable=False),
    Column("loss", Float, nullable=False),
    Column("grad_norm", Float, nullable=False),
    Column("param_norm", Float, nullable=False),
    Column("learning_rate", Float, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("step_seconds", Float, nullable=False),
    Column("tokens_per_second", Float),
    Column("epoch", Float, nullable=False),
    # Where the device's peak, and what its runtime tells of memory, are known.
    Column("model_flops_utilization", Float),
    Column("device_memory_bytes", Integer),
    Column("device_memory_peak_bytes", Integer),
    Index("steps_by_offset", "run", "offset"),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("run", String, primary_key=True),
    Column("offset", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("document", JSON, nullable=False),
    Index("events_by_kind", "run", "kind", "offset"),
    sqlite_with_rowid=False,
)
