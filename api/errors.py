"""Translation of every error into RFC 9457 `application/problem+json`."""

from http import HTTPStatus
from typing import NoReturn

import structlog
import werkzeug.exceptions
from flask import Flask, Response, request
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.wrappers import Response as WsgiResponse

from api.instrumentation import request_id
from api.schemas.problem import Problem, ProblemError
from shared.disk_space import is_full
from shared.errors import (
    Conflict,
    Damaged,
    ExportFailed,
    FieldError,
    Forbidden,
    MimeoError,
    NotFound,
    SpecError,
    StorageFull,
    TooLarge,
    TooManyJobs,
    Unauthorized,
    Unavailable,
)
from shared.storage import StorageUnavailable

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = "5"
STATUS: dict[type[MimeoError], HTTPStatus] = {
    SpecError: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    TooManyJobs: HTTPStatus.TOO_MANY_REQUESTS,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ExportFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    Damaged: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_FULL = "The disk is full, or its quota is used up. This request changed nothing; free some space and try again."
HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
log = structlog.get_logger(__name__)


def problem(
    status: int, code: str, detail: str, *, title: str | None = None, errors: tuple[FieldError, ...] = ()
) -> Response:
    """A problem response. 503 and 429 carry `Retry-After`."""
    body = Problem(
        title=title or HTTPStatus(status).phrase,
        status=status,
        detail=_valid(detail),
        code=code,
        instance=f"urn:mimeo:request:{request_id()}",
        errors=[ProblemError(pointer=_valid(e.pointer), detail=_valid(e.detail), code=e.code) for e in errors],
    )
    response = Response(body.model_dump_json(), status=status, mimetype=PROBLEM_TYPE)
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


def _valid(text: str) -> str:
    """The text without lone surrogates, which JSON escapes can express and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def reject_query(error: ValidationError) -> NoReturn:
    """Validation callback of flask-openapi, which validates query parameters only.

    Raises SpecError with a `?name` pointer for each invalid parameter.
    """
    # The second branch of an optional parameter requires None, which a query string cannot express.
    errors = [
        FieldError(pointer=f"?{item['loc'][0]}", detail=item["msg"], code=item["type"])
        for item in error.errors(include_url=False, include_context=False, include_input=False)
        if item["type"] != "none_required"
    ]
    raise SpecError.of(errors)


def install(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(MimeoError, _on_mimeo_error)
    app.register_error_handler(HTTPException, _on_http_exception)
    for error in (OperationalError, InterfaceError, PoolTimeout):
        app.register_error_handler(error, _on_database_down)
    app.register_error_handler(OSError, _on_storage_down)
    app.register_error_handler(Exception, _on_unexpected)


def _on_mimeo_error(error: MimeoError) -> Response:
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), None)
    if status is None:
        return _on_unexpected(error)
    return problem(status, error.code, error.detail, errors=getattr(error, "errors", ()))


def _on_http_exception(error: HTTPException) -> WsgiResponse:
    """Werkzeug's own errors (routing, body size, range), with their headers (`Allow` …)."""
    if error.response is not None or error.code is None or error.code < 400:
        return WsgiResponse.force_type(error.get_response())
    detail = _details(error)
    code = HTTP_CODES.get(error.code, HTTPStatus(error.code).name.lower())
    response = problem(error.code, code, detail, title=error.name)
    response.headers.extend((name, value) for name, value in error.get_headers() if name.lower() != "content-type")
    return response


def _details(error: HTTPException) -> str:
    """Detail of an error for which werkzeug's own text addresses users of a browser."""
    match error:
        case werkzeug.exceptions.NotFound():
            return f"There is no resource at {request.path[:200]}; /openapi/ lists the paths."
        case MethodNotAllowed():
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return f"{request.method[:20]} is not allowed at {request.path[:200]}; allowed: {allowed}."
        case RequestEntityTooLarge():
            return f"The body is larger than the limit of {request.max_content_length or 0:,} bytes."
    return error.description or HTTPStatus(error.code or 500).phrase


def _on_database_down(error: Exception) -> Response:
    if is_full(error):
        log.error("disk_full", error=str(error.__cause__ or error))
        return problem(507, StorageFull.code, _FULL)
    log.error("database_unavailable", error=str(error.__cause__ or error))
    return problem(503, "unavailable", "The database does not answer. This request changed nothing; try again shortly.")


def _on_storage_down(error: OSError) -> Response:
    """Only file operations of a request raise it, on the store or on the temporary file of an upload."""
    reason = error.strerror or str(error)
    if is_full(error):
        log.error("disk_full", error=reason)
        return problem(507, StorageFull.code, _FULL)
    code = error.code if isinstance(error, StorageUnavailable) else StorageUnavailable.code
    log.error("storage_unavailable", error=reason, code=code)
    if code != StorageUnavailable.code:
        return problem(503, code, reason)
    return problem(503, code, f"The file store is unavailable: {reason}. Try again later.")


def _on_unexpected(error: Exception) -> Response:
    if is_full(error) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return _on_database_down(error)
    log.error("unexpected_error", exc_info=error)
    return problem(500, "internal", "Internal error. The log of the API has the details under this request id.")
