from __future__ import annotations

from tests.backend.conftest import slow

__all__ = ["slow"]
