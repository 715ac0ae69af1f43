"""A bundle's files on the wire: confined to their folder, never executed by a browser."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from fastapi.responses import FileResponse, Response, StreamingResponse

from backend.errors import Conflict, NotFound, OutOfRange
from evidence import archive, reading
from evidence.typed import is_inner

SANDBOX = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
TEXT = (".md", ".txt", ".json", ".jsonl", ".yaml", ".yml", ".py", ".sha256", ".toml", ".csv")
PLAIN = "text/plain; charset=utf-8"
PART_BYTES = 256 << 10
"""As much of a file as a part has when nobody says how much."""
PIECE = 1 << 16


def serve(folder: Path, path: str) -> Response:
    """The file at ``path`` below ``folder``. Raises NotFound for anything but a regular file of the bundle."""
    place = _place(folder, path)
    if path.endswith(TEXT):
        return FileResponse(place, media_type=PLAIN, headers=SANDBOX)
    headers = {**SANDBOX, "Content-Disposition": "attachment"}
    return FileResponse(place, media_type="application/octet-stream", headers=headers)


def part(folder: Path, path: str, offset: int, limit: int) -> Response:
    """Some bytes of a text file, without half a character at either end; Content-Range says which.
    Raises NotFound, Conflict where it is no text, OutOfRange where it has no such bytes."""
    place = _place(folder, path)
    if not path.endswith(TEXT):
        raise Conflict(f"{path} is not shown as text; download it whole")
    size = place.stat().st_size
    if offset >= size:
        raise OutOfRange(f"{path} has {size:,} bytes; there is none at {offset:,}")
    with place.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(limit)
    start, end = _whole_characters(data, at_end=offset + len(data) >= size)
    headers = {
        **SANDBOX,
        "Content-Range": f"bytes {offset + start}-{offset + end - 1}/{size}",
        "Accept-Ranges": "bytes",
    }
    return Response(data[start:end], 206, headers=headers, media_type=PLAIN)


def zipped(entries: Iterable[archive.Entry], name: str) -> Response:
    """The entries as a zip called ``name``, made on disk. Raises Conflict where a file cannot be put into one."""
    target = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the answer)
    try:
        archive.write_zip(entries, target)
    except ValueError as error:
        target.close()
        raise Conflict(f"the bundle cannot be archived: {error}") from None
    headers = {
        **SANDBOX,
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(target.tell()),
    }
    target.seek(0)
    return StreamingResponse(_pieces(target), media_type="application/zip", headers=headers)


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(PIECE):
            yield piece


def _place(folder: Path, path: str) -> Path:
    if not is_inner(path) or path not in reading.Bundle(folder).files:
        raise NotFound(f"the bundle {folder.name} has no file {path[:200]!r}")
    return folder / path


def _whole_characters(data: bytes, at_end: bool) -> tuple[int, int]:
    """Where the whole characters of UTF-8 begin and end; all of it where that would leave nothing."""
    start, end = 0, len(data)
    while start < min(3, end) and data[start] & 0xC0 == 0x80:
        start += 1
    if not at_end:
        last = next((index for index in range(end - 1, max(start, end - 4) - 1, -1) if data[index] & 0xC0 != 0x80), end)
        length = next((count for mask, lead, count in _LEADS if last < end and data[last] & mask == lead), 1)
        if last < end and end - last < length:
            end = last
    return (start, end) if start < end else (0, len(data))


_LEADS = ((0xE0, 0xC0, 2), (0xF0, 0xE0, 3), (0xF8, 0xF0, 4))
