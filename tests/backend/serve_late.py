"""``python -m tests.backend.serve_late FILE``: the real server, whose application is imported once FILE is there."""

from __future__ import annotations

import sys
import time
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from backend import settings
from backend.__main__ import serve


class Late(MetaPathFinder):
    def find_spec(self, name: str, *_: Any) -> None:
        while name == "backend.app" and not Path(sys.argv[1]).exists():
            time.sleep(0.01)


if __name__ == "__main__":
    sys.meta_path.insert(0, Late())
    sys.exit(serve(settings.read()))
