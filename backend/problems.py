"""Problem documents (RFC 9457): what every refusal is answered with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus

from starlette.responses import Response

from evidence.spec import Problem as FieldProblem

MEDIA_TYPE = "application/problem+json"


def problem_bytes(
    status: int, detail: str, errors: Sequence[FieldProblem] = (), findings: Sequence[tuple[str, str]] = ()
) -> bytes:
    """A problem document. What a client sent may stand in it, lone surrogates and all: those are escaped."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _printable(detail),
        "errors": [{"field": _printable(item.field), "message": _printable(item.message)} for item in errors],
        "findings": [{"check": check, "message": _printable(message)} for check, message in findings],
    }
    return json.dumps(document, ensure_ascii=False).encode()


def problem(
    status: int, detail: str, errors: Sequence[FieldProblem] = (), findings: Sequence[tuple[str, str]] = ()
) -> Response:
    headers = {"Vary": "Accept"}
    return Response(problem_bytes(status, detail, errors, findings), status, headers=headers, media_type=MEDIA_TYPE)


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
