"""``python -m tests.backend.serve_late FILE``: the real server, whose application is made once FILE is there."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from backend import __main__ as server
from backend import settings as configuration
from backend.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

make = server._application


def late(settings: Settings) -> FastAPI:
    while not Path(sys.argv[1]).exists():
        time.sleep(0.01)
    return make(settings)


if __name__ == "__main__":
    server._application = late
    sys.exit(server.serve(configuration.read()))
