"""Whether the kernel has killed for lack of memory, as far as it tells: its own counters, before and after."""

from __future__ import annotations

import re
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")


def kills() -> dict[str, int]:
    """How many processes the kernel has killed so far because memory ran out: in this process's control ``group``, and
    on the ``machine``. What is not told is left out."""
    found = {}
    for path in _of_group():
        if (count := _count(path)) is not None:
            found["group"] = count
            break
    if (count := _count(Path("/proc/vmstat"))) is not None:
        found["machine"] = count
    return found


def since(before: dict[str, int]) -> dict[str, int]:
    """What came to ``before``."""
    now = kills()
    return {name: now[name] - before[name] for name in before.keys() & now.keys()}


def _of_group() -> list[Path]:
    """Where the counter of this process's group may lie: version 2, or the memory controller of version 1. Inside a
    container the group's own path may be the mount's root."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    places = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            places += [GROUPS / "memory" / inner / "memory.oom_control" for inner in (path.lstrip("/"), "")]
        elif not controllers:
            places += [GROUPS / inner / "memory.events" for inner in (path.lstrip("/"), "")]
    return places


def _count(path: Path) -> int | None:
    try:
        found = re.search(r"^oom_kill (\d+)$", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
