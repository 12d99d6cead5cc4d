"""Cross-origin resource sharing (Fetch standard) for the origins of `MIMEO_CORS_ORIGINS`; off without any."""

from flask import Flask, Response, request

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, If-Range, Last-Event-ID, Prefer, Range"
RESPONSE_HEADERS = (
    "Accept-Ranges, Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Link, Location, "
    "Preference-Applied, Retry-After, X-Request-Id"
)
PREFLIGHT_SECONDS = "600"


def install(app: Flask, origins: tuple[str, ...]) -> None:
    """Add the headers to responses for pages of `origins`, errors included."""
    if not origins:
        return

    def allow(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin not in origins:
            return response
        response.headers["Access-Control-Allow-Origin"] = origin
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response.headers["Access-Control-Allow-Methods"] = METHODS
            response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
            response.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
        else:
            response.headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
        return response

    app.after_request(allow)
