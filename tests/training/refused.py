"""``python -m tests.training.refused RUN [KIND]``: trains RUN, which is to be refused, and prints as JSON what stood in
memory then. KIND: what jax is made to find here, in a machine's place (``gpu``)."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace
from typing import Any

import jax
from jax._src import xla_bridge

from training.__main__ import main

LIVE: list[int] = []


def count_arrays_behind(call: Any) -> Any:
    """``call``, which notes how many arrays lie on devices when it has returned or raised."""

    def counted(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        finally:
            LIVE.append(len(jax.live_arrays()) if xla_bridge.backends_are_initialized() else 0)

    return counted


if __name__ == "__main__":
    from training import devices, weights

    run, *kind = sys.argv[1:]
    if kind:
        jax.devices = lambda: [SimpleNamespace(platform=kind[0])]
    devices.acquire = count_arrays_behind(devices.acquire)
    weights.find = count_arrays_behind(weights.find)
    code = main([run])
    initialized = xla_bridge.backends_are_initialized()
    print(
        json.dumps(
            {
                "code": code,
                "client_exists": initialized,
                "arrays": LIVE,
                "bytes": max((each.memory_stats() or {}).get("peak_bytes_in_use", 0) for each in jax.devices())
                if initialized
                else 0,
                "preallocates": os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "true"),
            }
        )
    )
