"""The next whole lines of a log that grows, is cut off, or is replaced; in bounded memory, whatever it holds."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

BLOCK_BYTES = 4 << 20
LONGEST_LINE = 8 << 20
"""A line that is longer is no event; it is counted, passed over, and never held in memory."""

SEARCH_BYTES = 64 << 20
"""How much of such a line is searched for its end in one read."""

MARK_BYTES = 256


@dataclass(frozen=True)
class Place:
    """How far a log was read. ``mark`` tells the bytes before ``offset`` again; between ``offset`` and ``searched`` no
    line ends."""

    offset: int = 0
    mark: str = ""
    searched: int = 0


@dataclass(frozen=True)
class Piece:
    """The whole lines behind ``start``, without their newlines, and the place behind all of them.

    ``passed_over``: lines too long to be held. ``replaced``: this is no longer the log that was read before; nothing is
    read, and the place is its beginning.
    """

    start: int
    place: Place
    lines: list[bytes] = field(default_factory=list)
    passed_over: int = 0
    replaced: bool = False

    @property
    def anything(self) -> bool:
        return self.replaced or self.place.offset > self.start


def read_on(path: Path, place: Place) -> Piece:
    """What has come to the log at ``path``. One that is not there has nothing, unless it was read before."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return Piece(place.offset, Place(), replaced=place.offset > 0)
    with stream:
        if os.fstat(stream.fileno()).st_size < place.offset or _mark(stream, place.offset) != place.mark:
            return Piece(place.offset, Place(), replaced=True)
        return _next(stream, place)


def _next(stream: BinaryIO, place: Place) -> Piece:
    start = place.offset
    stream.seek(start)
    data = b"" if place.searched - start >= LONGEST_LINE else stream.read(BLOCK_BYTES)
    while data and b"\n" not in data and len(data) < LONGEST_LINE and (more := stream.read(BLOCK_BYTES)):
        data += more
    end = data.rfind(b"\n") + 1
    if end:
        offset = start + end
        return Piece(start, Place(offset, _mark(stream, offset), offset), data[:end].split(b"\n")[:-1])
    searched = max(place.searched, start + len(data))
    if searched - start < LONGEST_LINE:
        return Piece(start, Place(start, place.mark, searched))
    found, searched = _search(stream, searched)
    if found:
        return Piece(start, Place(found, _mark(stream, found), found), passed_over=1)
    return Piece(start, Place(start, place.mark, searched))


def _search(stream: BinaryIO, start: int) -> tuple[int, int]:
    """The offset behind the first newline from ``start`` on (0: none so far), and how far was looked."""
    stream.seek(start)
    searched = start
    while searched - start < SEARCH_BYTES and (data := stream.read(BLOCK_BYTES)):
        if (at := data.find(b"\n")) >= 0:
            return searched + at + 1, searched + at + 1
        searched += len(data)
    return 0, searched


def _mark(stream: BinaryIO, offset: int) -> str:
    """Of the bytes before ``offset``, of which there is none at the beginning."""
    if not offset:
        return ""
    stream.seek(max(0, offset - MARK_BYTES))
    return hashlib.sha256(stream.read(min(offset, MARK_BYTES))).hexdigest()[:16]
