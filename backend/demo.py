"""The first run on an empty data folder, so that the first page a newcomer sees is a curve that falls."""

from __future__ import annotations

import logging

from backend.errors import Refused
from backend.runs import admission
from backend.runs.answers import RunRequest
from backend.server import Server
from evidence import rundir
from evidence.spec import SpecError

CONFIG = "demo_reasoning"

log = logging.getLogger("assay")


def launch_first(server: Server) -> None:
    """Launch the demo if there has never been a run here."""
    settings = server.settings
    if not settings.demo or rundir.folders(settings.runs):
        return
    request = RunRequest(config=CONFIG, spec=None, name=None, device=None, notes="", tags=["demo"])
    try:
        server.follower.adopt(admission.admit(settings, request, server.witness))
    except (Refused, SpecError) as error:
        log.warning("the demo run cannot be launched: %s", error)
