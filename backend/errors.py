"""Errors as problem documents (RFC 9457). The table at the bottom is the only place where an exception gets a status.

Refused                   the server's own refusals; each names a field where there is one
├── NotFound              there is no such run, bundle or file
├── Conflict              the thing is not in a state for this
├── Invalid               the request cannot be carried out as it stands
├── Forbidden             the request comes from where it must not
├── WrongType             the body is of a type that is not taken here
└── OutOfRange            the part asked for is none of the file
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from backend.problems import MEDIA_TYPE, problem
from evidence.spec import Problem as FieldProblem
from evidence.spec import SpecError

log = logging.getLogger("assay")


class FieldError(BaseModel):
    field: str
    message: str


class FindingSentence(BaseModel):
    check: str
    message: str


class Problem(BaseModel):
    """What went wrong. ``errors`` names the fields, ``findings`` what verification would object to."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError]
    findings: list[FindingSentence]


class Refused(Exception):
    """``detail`` is a whole sentence; ``errors`` are the fields it is about."""

    def __init__(
        self, detail: str, errors: Sequence[FieldProblem] = (), findings: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.detail, self.errors, self.findings = detail, tuple(errors), tuple(findings)
        super().__init__(detail)


class NotFound(Refused):
    pass


class Conflict(Refused):
    pass


class Invalid(Refused):
    pass


class Forbidden(Refused):
    pass


class WrongType(Refused):
    pass


class OutOfRange(Refused):
    pass


def on_field(field: str, message: str) -> Invalid:
    return Invalid(message, [FieldProblem(field, message)])


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem document."""
    for kind in (*STATUS, SpecError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(Exception, _unforeseen)


async def _answer(_: Request, error: Exception) -> Response:
    if isinstance(error, Refused):
        return problem(STATUS[type(error)], error.detail, error.errors, error.findings)
    if isinstance(error, SpecError):
        return problem(422, str(error), error.problems)
    if isinstance(error, RequestValidationError):
        errors = [_validation(item) for item in error.errors()]
        return problem(422, "; ".join(item.message for item in errors), errors)
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail))


async def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "the server made a mistake; its log has the details")


def _validation(item: dict[str, Any]) -> FieldProblem:
    """Pydantic's complaint as ours: the field without its place in the request, the message as a sentence."""
    where = ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0])
    message = str(item["msg"])
    if item["type"] == "extra_forbidden":
        return FieldProblem(where, f"{where}: there is no such field")
    if item["type"] == "missing":
        return FieldProblem(where, f"{where} is missing")
    if item["type"] == "json_invalid":
        return FieldProblem("body", f"the body is not JSON: {item.get('ctx', {}).get('error', message)}")
    return FieldProblem(where, f"{where}: {message[:1].lower()}{message[1:]}")


STATUS: dict[type[Exception], int] = {
    NotFound: 404,
    Conflict: 409,
    Invalid: 422,
    Forbidden: 403,
    WrongType: 415,
    OutOfRange: 416,
}

ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status in (400, 403, 404, 409, 413, 415, 422)
}
"""For OpenAPI: what any route may answer with besides success."""


def schemas() -> dict[str, Any]:
    """The schemas that ANSWERS refers to."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    return {**schema.pop("$defs"), "Problem": schema}
