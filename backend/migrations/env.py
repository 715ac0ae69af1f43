"""Alembic's door: migrations run on the connection that the server hands over."""

from __future__ import annotations

from alembic import context

from backend.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
