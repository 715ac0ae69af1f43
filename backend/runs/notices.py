"""Notices of what happens in folders: inotify, where the system has it; elsewhere the follower looks often enough.

Notices only say where to look, and none is relied upon: what is missed is found at the next regular look. The module is
its own (watchfiles collects changes in a thread that wakes up every few milliseconds; this one sleeps until there is
one).
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_MODIFY, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x80, 0x100, 0x200
_ONLY_FOLDERS = 0x0100_0000
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_HEAD = struct.Struct("iIII")


class Notices:
    """Of files in the folders that are watched: not of what lies in folders below them."""

    def __init__(self) -> None:
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if sys.platform == "linux" else os.pipe()
        self._inotify = _inotify()
        self._watches: dict[int, Path] = {}

    @property
    def works(self) -> bool:
        """Whether every folder that is watched gives notice of itself."""
        return self._inotify >= 0

    def watch(self, folders: Iterable[Path]) -> None:
        """From now on these folders, and no others."""
        if not self.works:
            return
        wanted = set(folders)
        for number in [number for number, folder in self._watches.items() if folder not in wanted]:
            _libc().inotify_rm_watch(self._inotify, number)
            del self._watches[number]
        for folder in wanted - set(self._watches.values()):
            flags = _MODIFY | _MOVED_TO | _CREATE | _DELETE | _ONLY_FOLDERS
            number = _libc().inotify_add_watch(self._inotify, os.fsencode(folder), flags)
            if number >= 0:
                self._watches[number] = folder
            elif folder.is_dir():  # the system gives out no more watches
                os.close(self._inotify)
                self._inotify, self._watches = -1, {}
                return

    def wait(self, seconds: float) -> set[Path]:
        """The files of which there was notice within ``seconds``; returns at the first ones, or when woken."""
        handles = [self._woken] + ([self._inotify] if self.works else [])
        ready, _, _ = select.select(handles, [], [], seconds)
        if self._woken in ready:
            os.read(self._woken, 4096)
        return self._read() if self._inotify in ready else set()

    def wake(self) -> None:
        """End the wait, from any thread."""
        try:
            os.write(self._waker, b"x")
        except BlockingIOError:
            pass  # it was woken often enough

    def close(self) -> None:
        for handle in (self._woken, self._waker, self._inotify):
            if handle >= 0:
                os.close(handle)

    def _read(self) -> set[Path]:
        data, found, start = os.read(self._inotify, 1 << 16), set(), 0
        while start < len(data):
            number, mask, _, length = _HEAD.unpack_from(data, start)
            name = data[start + _HEAD.size : start + _HEAD.size + length].rstrip(b"\0")
            start += _HEAD.size + length
            if mask & _IGNORED:
                self._watches.pop(number, None)
            elif mask & _OVERFLOW:
                found |= {folder / "" for folder in self._watches.values()}
            elif number in self._watches:
                found.add(self._watches[number] / os.fsdecode(name))
        return found


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _inotify() -> int:
    if sys.platform != "linux":
        return -1
    return int(_libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
