"""The evidence routes: bundles, verified as they are asked for, and their files, which nothing may execute."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse

from backend.bundles import files
from backend.bundles.answers import Bundle, Bundles
from backend.server import Here

router = APIRouter(prefix="/evidence", tags=["evidence"])

Name = Annotated[str, Path(max_length=100)]
BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}
ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}
}


@router.get("", operation_id="listEvidence")
def list_evidence(server: Here) -> Bundles:
    return Bundles(bundles=server.library.summaries())


@router.get("/{name}", operation_id="showEvidence")
def show_evidence(server: Here, name: Name) -> Bundle:
    return server.library.bundle(name)


@router.get("/{name}/archive.zip", operation_id="downloadEvidence", response_class=Response, responses=ZIP)
def download_evidence(server: Here, name: Name) -> Response:
    """The whole bundle; the same bytes for the same bundle."""
    archive = files.archive(server.library.folder(name))
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"', **files.SANDBOX}
    return Response(archive, media_type="application/zip", headers=headers)


@router.get("/{name}/files/{path:path}", operation_id="showEvidenceFile", response_class=FileResponse, responses=BYTES)
def show_evidence_file(server: Here, name: Name, path: Annotated[str, Path(max_length=1000)]) -> FileResponse:
    """One file of a bundle: text is shown as plain text, everything else is downloaded."""
    return files.serve(server.library.folder(name), path)
