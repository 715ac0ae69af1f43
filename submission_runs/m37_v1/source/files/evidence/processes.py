"""Processes: which one is meant, whether it is alive, and signals that reach it and no other.

A pid is reused, and so can be a pid together with its start time in clock ticks; the inode of a pidfd never is
(Linux 6.9 and later). A signal goes through a pidfd that was opened before the identity was compared, so nothing can
slip in between.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN_ID, RUN_FOLDER, RUN_ATTEMPT = "RUN_ID", "RUN_FOLDER", "RUN_ATTEMPT"
"""Variables that a trainer's processes are found by, even those that have left its session."""

CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
TO_THE_GROUP = 4  # PIDFD_SIGNAL_PROCESS_GROUP of pidfd_send_signal(2), Linux 6.9

Identity = dict[str, Any]


@dataclass(frozen=True)
class Stat:
    """What /proc tells of a process. ``ticks``: user and system time used so far."""

    pid: int
    state: str
    parent: int
    ticks: int
    start_ticks: int
    rss_bytes: int


def boot_id() -> str:
    """Which start of this machine this is; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def identity(pid: int) -> Identity:
    """What makes a process itself: boot id, pid, start time in clock ticks, and the inode of its pidfd where the kernel
    gives one. {} when there is no such process, or only what is left of it until its parent asks."""
    with _opened(pid) as descriptor:
        found = stat(pid)
        if found is None or found.state in "ZX" or not _is_there(descriptor):
            return {}
        inode = _own_inode(descriptor)
    own = {"pidfd_inode": inode} if inode else {}
    return {"boot_id": boot_id(), "pid": pid, "start_ticks": found.start_ticks, **own}


def alive(process: Identity) -> bool:
    """Whether the very process of this identity still runs on this host."""
    return bool(process) and _same(process, identity(int(process["pid"])))


def send(process: Identity, number: signal.Signals, *, group: bool = False) -> bool:
    """Send a signal to the very process of this identity; False when it is gone. ``group``: to the group it leads."""
    if not process:
        return False
    pid = int(process["pid"])
    with _opened(pid) as descriptor:
        if not alive(process):
            return False
        try:
            if group:
                send_group(pid, descriptor, number)
            elif descriptor >= 0:
                signal.pidfd_send_signal(descriptor, number)
            else:
                os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True


def send_group(leader: int, descriptor: int, number: signal.Signals) -> None:
    """Send a signal to the group of ``leader``, held by ``descriptor`` (-1: by being its parent). Raises
    ProcessLookupError when nobody is left in it."""
    try:
        if descriptor < 0:
            raise OSError
        signal.pidfd_send_signal(descriptor, number, None, TO_THE_GROUP)
    except ProcessLookupError:
        raise
    except OSError:
        os.killpg(leader, number)  # an older kernel: the leader was there a moment ago


def wait(process: Identity, seconds: float) -> bool:
    """Whether a process, of whatever parent, has ended within ``seconds``."""
    until = time.monotonic() + seconds
    with _opened(int(process["pid"])) as descriptor:
        while alive(process) and (left := until - time.monotonic()) > 0:
            if descriptor >= 0:
                waiter = select.poll()
                waiter.register(descriptor, select.POLLIN)
                waiter.poll(left * 1000)
                break
            time.sleep(min(0.05, left))
    return not alive(process)


def end(found: Iterable[Identity], grace_seconds: float) -> int:
    """SIGTERM to each of ``found``, SIGKILL to those that are there after ``grace_seconds``; how many there were."""
    told = [process for process in found if send(process, signal.SIGTERM)]
    until = time.monotonic() + grace_seconds
    for process in told:
        if not wait(process, until - time.monotonic()):
            send(process, signal.SIGKILL)
            wait(process, 5.0)
    return len(told)


def of_run(run: Path, attempt: int) -> list[Identity]:
    """This user's processes that carry the run's id and folder in their environment, of ``attempt`` or one before it.

    An id alone would not do: a run that was sent elsewhere, or copied, has the same one.
    """
    marks = {f"{RUN_ID}={run.name}".encode(), f"{RUN_FOLDER}={run.resolve()}".encode()}
    found = []
    for pid in pids():
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone, or another user's
        if not marks.issubset(variables) or pid == os.getpid():
            continue
        mark = f"{RUN_ATTEMPT}=".encode()
        of = next((item[len(mark) :] for item in variables if item.startswith(mark)), b"0")
        if of.isdigit() and int(of) <= attempt and (process := identity(pid)):
            found.append(process)
    return found


def below(pid: int) -> list[Stat]:
    """The children of ``pid`` and theirs, as far as nobody in between has ended."""
    children: dict[int, list[Stat]] = {}
    for each in pids():
        if found := stat(each):
            children.setdefault(found.parent, []).append(found)
    tree: list[Stat] = []
    waiting = [pid]
    while waiting:
        here = children.pop(waiting.pop(), [])
        tree += here
        waiting += [item.pid for item in here]
    return [item for item in tree if item.state not in "ZX"]


def pids() -> list[int]:
    try:
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []


def stat(pid: int) -> Stat | None:
    try:
        words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return Stat(
        pid, words[0], int(words[1]), int(words[11]) + int(words[12]), int(words[19]),
        int(words[21]) * os.sysconf("SC_PAGE_SIZE"),
    )  # fmt: skip


def adopt_orphans() -> None:
    """From now on, what is left behind by this process's children becomes its child, instead of the system's."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(CHILD_SUBREAPER, 1, 0, 0, 0)


def _same(known: Identity, found: Identity) -> bool:
    """One of the two may have been written where the kernel gives no inodes."""
    must = ("boot_id", "pid", "start_ticks")
    may = [name for name in known.keys() & found.keys() if name not in must]
    return bool(found) and all(known.get(name) == found[name] for name in (*must, *may))


@contextlib.contextmanager
def _opened(pid: int) -> Iterator[int]:
    """A pidfd; -1 where there is no such process, or the system has none to give."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, AttributeError):
        yield -1
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_there(descriptor: int) -> bool:
    """Whether the held process has not been buried: then what was just read of its pid was read of it."""
    if descriptor < 0:
        return True
    try:
        signal.pidfd_send_signal(descriptor, 0)  # asks, sends nothing
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _own_inode(descriptor: int) -> int:
    """The pidfd's inode; 0 on an older kernel, where all descriptors without a file share one."""
    if descriptor < 0:
        return 0
    found = os.fstat(descriptor)
    other = os.eventfd(0, os.EFD_CLOEXEC)
    try:
        shared = os.fstat(other)
    finally:
        os.close(other)
    return 0 if (found.st_dev, found.st_ino) == (shared.st_dev, shared.st_ino) else found.st_ino
