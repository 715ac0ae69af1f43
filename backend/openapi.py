"""``python -m backend.openapi``: the OpenAPI document, the same bytes for the same routes.

The page's types come from it.
"""

from __future__ import annotations

import json
import sys

from backend.app import create_app
from backend.settings import Settings


def document() -> str:
    return json.dumps(create_app(Settings()).openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
