"""Large JSON responses are compressed for clients that accept gzip."""

import gzip

from flask import Flask, Response, request

SMALLEST_BYTES = 2 << 10
LEVEL = 5


def install(app: Flask) -> None:
    """Compress the responses of `app`. A response with an ETag stays as it is, since the tag names its bytes."""
    app.after_request(_compressed)


def _compressed(response: Response) -> Response:
    if response.status_code != 200 or response.mimetype != "application/json" or response.is_streamed:
        return response
    if response.get_etag()[0] is not None or (response.content_length or 0) < SMALLEST_BYTES:
        return response
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"] > 0:
        response.set_data(gzip.compress(response.get_data(), LEVEL))
        response.headers["Content-Encoding"] = "gzip"
    return response
