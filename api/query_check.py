"""Refuses query parameters that a route does not have, and single ones that are given twice."""

import re
from collections.abc import Mapping

from flask import Flask, request

from api.openapi import JsonDict
from shared.errors import MAX_ERRORS, FieldError, SpecError
from shared.spec_errors import nearest

# Files and pages of the documentation, whose links may have a query, and pages of the studio, whose scripts read it.
UNCHECKED = ("openapi.", "swagger.", "openapi_without_slash", "studio.")


def install(app: Flask, document: JsonDict) -> None:
    """Check each request before its view. document: of OpenAPI, which lists the parameters of each route."""
    known = _parameters(document)

    def check() -> None:
        if not request.query_string or request.url_rule is None or request.method == "OPTIONS":
            return
        if not str(request.endpoint).startswith(UNCHECKED):
            route = request.url_rule.rule, request.method.replace("HEAD", "GET")
            _check(known.get(route, {}))

    app.before_request(check)


def _parameters(document: JsonDict) -> Mapping[tuple[str, str], Mapping[str, bool]]:
    """The query parameters by rule and method: names, and whether each may be given several times."""
    found: dict[tuple[str, str], dict[str, bool]] = {}
    for path, operations in document["paths"].items():
        rule = re.sub(r"\{(\w+)\}", r"<\1>", path)
        for method, operation in operations.items():
            found[rule, method.upper()] = {
                each["name"]: each["schema"].get("type") == "array"
                for each in operation.get("parameters", ())
                if each["in"] == "query"
            }
    return found


def _check(known: Mapping[str, bool]) -> None:
    wrong = [
        name for name in request.args if name not in known or (not known[name] and len(request.args.getlist(name)) > 1)
    ]
    if wrong:
        raise SpecError.of([_error(name, known) for name in wrong[:MAX_ERRORS]], total=len(wrong))


def _error(name: str, known: Mapping[str, bool]) -> FieldError:
    pointer = f"?{name[:64]}"
    if name in known:
        return FieldError(pointer=pointer, detail="This parameter is given twice.", code="repeated")
    detail = f'There is no query parameter "{name[:64]}".{nearest(name, known)}'
    return FieldError(pointer=pointer, detail=detail, code="unknown_field")
