"""The evidence routes: bundles, verified as they are asked for, and their files, which nothing may execute."""

from __future__ import annotations

import tempfile
from typing import IO, Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from backend.bundles import files
from backend.bundles.answers import Bundle, Bundles, BundleSummary
from backend.errors import ANSWERS, Invalid, WrongType
from backend.server import Here
from evidence import archive

router = APIRouter(prefix="/evidence", tags=["evidence"])

Name = Annotated[str, Path(max_length=100)]
FilePath = Annotated[str, Path(max_length=1000)]
BINARY = {"schema": {"type": "string", "format": "binary"}}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": BINARY, "text/plain": BINARY}},
    206: {"description": "Partial Content", "content": {"text/plain": BINARY}},
    416: {**ANSWERS[404], "description": "Range Not Satisfiable"},
}
ZIP: dict[int | str, dict[str, Any]] = {200: {"content": {"application/zip": BINARY}}}
ZIP_BODY = {"requestBody": {"required": True, "content": {"application/zip": BINARY}}}
BUFFER_BYTES = 1 << 20


@router.get("", operation_id="listEvidence")
def list_evidence(server: Here) -> Bundles:
    return Bundles(bundles=server.library.summaries())


@router.post("", operation_id="importEvidence", status_code=201, openapi_extra=ZIP_BODY)
async def import_evidence(
    server: Here, request: Request, response: Response, name: Annotated[str, Query(max_length=100)] = ""
) -> BundleSummary:
    """Take in the zip of a bundle. What does not verify is kept and shown with its findings; what is no sound archive
    of a bundle is refused, with the entry that is wrong."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/zip":
        raise WrongType("a bundle is sent as application/zip")
    with tempfile.TemporaryFile() as upload:
        await _receive(request, upload)
        taken = await run_in_threadpool(server.library.take_in, upload, name)
    response.headers["Location"] = f"/evidence/{taken}"
    return await run_in_threadpool(server.library.summary, taken)


@router.get("/{name}", operation_id="showEvidence")
def show_evidence(server: Here, name: Name) -> Bundle:
    return server.library.bundle(name)


@router.delete("/{name}", operation_id="removeEvidence", status_code=204)
def remove_evidence(server: Here, name: Name) -> None:
    """Remove an imported bundle; one that was sealed here stays."""
    server.library.remove(name)


@router.get("/{name}/archive.zip", operation_id="downloadEvidence", response_class=Response, responses=ZIP)
def download_evidence(server: Here, name: Name) -> Response:
    """The whole bundle; the same bytes for the same bundle."""
    return files.zipped(archive.files(server.library.folder(name)), f"{name}.zip")


@router.get("/{name}/bag.zip", operation_id="downloadEvidenceBag", response_class=Response, responses=ZIP)
def download_evidence_bag(server: Here, name: Name) -> Response:
    """The whole bundle in a BagIt bag; the same bytes for the same bundle."""
    return files.zipped(archive.bag(server.library.folder(name)), f"{name}-bag.zip")


@router.get("/{name}/files/{path:path}", operation_id="showEvidenceFile", response_class=Response, responses=FILE)
def show_evidence_file(
    server: Here,
    name: Name,
    path: FilePath,
    offset: Annotated[int | None, Query(ge=0, le=1 << 40)] = None,
    limit_bytes: Annotated[int | None, Query(ge=1, le=4 << 20)] = None,
) -> Response:
    """One file of a bundle: text is shown as plain text, everything else is downloaded. With ``offset`` or
    ``limit_bytes`` a part of a text, whole characters only, and Content-Range says which."""
    folder = server.library.folder(name)
    if offset is None and limit_bytes is None:
        return files.serve(folder, path)
    return files.part(folder, path, offset or 0, limit_bytes or files.PART_BYTES)


async def _receive(request: Request, target: IO[bytes]) -> None:
    """The body, written as it comes."""
    buffer = bytearray()
    try:
        async for piece in request.stream():
            buffer += piece
            if len(buffer) >= BUFFER_BYTES:
                await run_in_threadpool(target.write, bytes(buffer))
                buffer.clear()
    except ClientDisconnect:
        raise Invalid("the upload broke off") from None
    await run_in_threadpool(target.write, bytes(buffer))
