"""``python -m tests.backend.trainer STEP_SECONDS RUN``: the stand-in trainer at a pace, as a trainer command."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.stand_in import StandIn

if __name__ == "__main__":
    sys.exit(StandIn(Path(sys.argv[2]), float(sys.argv[1])).train())
