"""A bundle's files on the wire: confined to their folder, never executed by a browser."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from fastapi.responses import FileResponse

from backend.errors import NotFound
from evidence import reading
from evidence.typed import is_inner

SANDBOX = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
TEXT = (".md", ".txt", ".json", ".jsonl", ".yaml", ".yml", ".py", ".sha256", ".toml", ".csv")
OLDEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def serve(folder: Path, path: str) -> FileResponse:
    """The file at ``path`` below ``folder``. Raises NotFound for anything but a regular file of the bundle."""
    if not is_inner(path) or path not in reading.Bundle(folder).files:
        raise NotFound(f"the bundle {folder.name} has no file {path[:200]!r}")
    if path.endswith(TEXT):
        return FileResponse(folder / path, media_type="text/plain; charset=utf-8", headers=SANDBOX)
    headers = {**SANDBOX, "Content-Disposition": "attachment"}
    return FileResponse(folder / path, media_type="application/octet-stream", headers=headers)


def archive(folder: Path) -> bytes:
    """A zip of the bundle: files in order, no times, so the same bundle is the same bytes."""
    bundle = reading.Bundle(folder)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in bundle.files:
            entry = zipfile.ZipInfo(f"{folder.name}/{name}", OLDEST_ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, bundle.bytes(name), compresslevel=6)
    return target.getvalue()
