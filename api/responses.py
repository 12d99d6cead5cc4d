"""Responses: plain, conditional (ETag), and keyset pages with their `Link`."""

from urllib.parse import urlencode

from flask import Response, request
from werkzeug.http import parse_etags

from api.schemas.base import Answer
from api.schemas.jobs import Job
from api.urls import url


def json_response(answer: Answer, status: int = 200) -> Response:
    """A JSON response."""
    return Response(answer.model_dump_json(), status=status, mimetype="application/json")


def conditional_response(job: Job, version: int, if_none_match: str | None) -> Response:
    """The job with a weak ETag of its representation, or an empty 304 if the request has that ETag.

    version: of the row. The queue position and the reason of the wait are part of the tag: they change with other jobs
    and with workers.
    """
    tag = f"{version}-{job.queue_position or 0}{'' if job.queue_position_is_exact else '+'}"
    tag += f"-{job.waiting_for}" if job.waiting_for else ""
    if if_none_match is not None and parse_etags(if_none_match).contains_weak(tag):
        response = Response(status=304)
    else:
        response = json_response(job)
    response.set_etag(tag, weak=True)
    response.headers["Cache-Control"] = "no-cache"
    return response


def page_response(page: Answer, *, next_after: str | int | None) -> Response:
    """The page as JSON, with an RFC 8288 `Link` to the next one.

    next_after: value of `after` for the next page; None on the last page.
    """
    response = json_response(page)
    if next_after is not None:
        arguments = {**request.args.to_dict(flat=False), "after": str(next_after)}
        response.headers["Link"] = f'<{url(request.path)}?{urlencode(arguments, doseq=True)}>; rel="next"'
    return response
