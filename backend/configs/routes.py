"""GET /configs: what the form is drawn from."""

from __future__ import annotations

from fastapi import APIRouter

from backend.configs import library
from backend.configs.answers import Configs
from backend.server import Here
from evidence.spec import json_schema

router = APIRouter(tags=["configs"])


@router.get("/configs", operation_id="listConfigs")
def list_configs(server: Here) -> Configs:
    """The shipped configs, the schema of a config, and the data files that a run may read."""
    settings = server.settings
    return Configs(
        configs=library.configs(settings),
        schema_=json_schema(),
        data_roots=[library.shown(root) for root in settings.data_roots],
        data_files=library.data_files(settings),
        launchers=["local", "kaggle"] if settings.kaggle.known else ["local"],
    )
