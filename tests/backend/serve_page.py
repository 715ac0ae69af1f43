"""``python -m tests.backend.serve_page``: the real server and trainers; a preflight's job is the stand-in's."""

from __future__ import annotations

import sys
from dataclasses import replace

from backend import settings
from backend.__main__ import serve

if __name__ == "__main__":
    command = (sys.executable, "-m", "tests.preflight_job", "0.4")
    sys.exit(serve(replace(settings.read(), preflight_command=command)))
