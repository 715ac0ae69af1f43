"""``python -m tests.backend.serve STEP_SECONDS``: the real server, whose runs are stand-in trainers."""

from __future__ import annotations

import sys
from dataclasses import replace

from backend import settings
from backend.__main__ import serve

if __name__ == "__main__":
    command = (sys.executable, "-m", "tests.backend.trainer", sys.argv[1])
    sys.exit(serve(replace(settings.read(), trainer_command=command)))
