"""The index's tables. Everything in them is read from the run folders; migrations/ creates and changes them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

metadata = MetaData()
Big = BigInteger().with_variant(Integer, "sqlite")

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
    Column("offset", Big, nullable=False),
    Column("invalid_lines", Integer, nullable=False),
    Column("phase", String),
    Column("hardware", String),
    Column("parameters", Big),
    Column("exact_match", Float),
    Column("step", Big, nullable=False),
    Column("loss", Float),
    Column("learning_rate", Float),
    Column("tokens", Big, nullable=False),
    Column("tokens_per_second", Float),
    Column("pace_seconds", Float),
    Column("spark", JSON, nullable=False),
    # Grows with every change of a row, over all rows: what a stream has not sent yet.
    Column("revision", Integer, nullable=False),
    # Of the bytes of events.jsonl before ``offset``; when they change, it was replaced and is read anew: the next
    # generation.
    Column("mark", String, nullable=False, server_default=""),
    Column("generation", Integer, nullable=False, server_default="0"),
    # From labels.json, as the name, notes and tags of a run that was given others.
    Column("archived", Boolean, nullable=False, server_default=false()),
    # From alerts.jsonl.
    Column("alerts", JSON, nullable=False, server_default="[]"),
    # From turn.json: what its place in the queue goes by.
    Column("turn", String, nullable=False, server_default=""),
    # From spec.json: a kind of device of this machine, or the platform that lends one.
    Column("slot", String, nullable=False, server_default=""),
    Index("runs_by_state", "state"),
    Index("runs_by_revision", "revision"),
)

# The newest rows of a run, until there are enough of them for a chunk: see backend/runs/chunks.py.
rows = Table(
    "rows",
    metadata,
    Column("run", String, primary_key=True),
    Column("offset", Big, primary_key=True),
    Column("step", Big, nullable=False),
    Column("values", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

chunks = Table(
    "chunks",
    metadata,
    Column("id", Big, primary_key=True),
    Column("run", String, nullable=False),
    Column("series", String, nullable=False),
    # The offsets behind its first and its last line, and the least and the greatest of its steps.
    Column("first", Big, nullable=False),
    Column("last", Big, nullable=False),
    Column("first_step", Big, nullable=False),
    Column("last_step", Big, nullable=False),
    Column("count", Integer, nullable=False),
    # The least and the greatest finite value, and in which of the rows they stand.
    Column("low", Float),
    Column("low_row", Integer),
    Column("high", Float),
    Column("high_row", Integer),
    # Whether any value is missing or not finite.
    Column("gaps", Integer, nullable=False),
    # Little-endian float64, or int64 for steps and offsets; empty for steps that follow one another.
    Column("data", LargeBinary, nullable=False),
    Index("chunks_by_place", "run", "series", "first", unique=True),
)

events = Table(
    "events",
    metadata,
    Column("run", String, primary_key=True),
    Column("offset", Big, primary_key=True),
    Column("kind", String, nullable=False),
    Column("document", JSON, nullable=False),
    Index("events_by_kind", "run", "kind", "offset"),
    sqlite_with_rowid=False,
)
