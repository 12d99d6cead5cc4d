"""A request id, one log line and the latency metrics of every request."""

import re
import time

import structlog
from flask import Flask, Response, g, has_request_context, request
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from shared import tracing
from shared.ids import new_id

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
REGISTRY = "mimeo_registry"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# An id of the client is taken over where it can be no more than an id.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
log = structlog.get_logger(__name__)


def request_id() -> str:
    """Id of the current request; a new one if the request failed before it had one."""
    if has_request_context() and "request_id" in g:
        return str(g.request_id)
    return new_id("rqs")


def install(app: Flask, registry: CollectorRegistry) -> None:
    """Record the count and the latency of every request of `app` in `registry`."""
    app.extensions[REGISTRY] = registry
    disable_created_metrics()  # type: ignore[no-untyped-call] # the creation time of each metric is not useful
    requests = Counter(
        "mimeo_http_requests_total", "Requests answered.", ["method", "route", "status"], registry=registry
    )
    latency = Histogram(
        "mimeo_http_request_seconds", "Time to answer.", ["method", "route"], buckets=BUCKETS_S, registry=registry
    )

    def begin() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else new_id("rqs")
        g.started = time.perf_counter()
        given_trace = request.headers.get("traceparent", "")
        parent = given_trace if tracing.TRACE_PARENT.fullmatch(given_trace) else None
        route = request.url_rule.rule if request.url_rule is not None else "unmatched"
        attributes = {"http.request.method": request.method[:20], "http.route": route, "mimeo.request.id": g.request_id}
        g.span = tracing.start(f"{request.method[:20]} {route}", parent=parent, kind="SERVER", attributes=attributes)
        trace_parent = g.span.trace_parent or parent
        tracing.CURRENT.set(trace_parent)
        about = {"trace_id": trace_parent.split("-")[1]} if trace_parent else {}
        structlog.contextvars.bind_contextvars(request_id=g.request_id, **about)

    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.started
        # The label is the rule, not the path: an id in a label would create a time series for each job.
        route = request.url_rule.rule if request.url_rule is not None else "unmatched"
        method = (
            request.method
            if request.method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
            else "other"
        )
        requests.labels(method, route, response.status_code).inc()
        latency.labels(method, route).observe(seconds)
        g.span.end(is_error=response.status_code >= 500, **{"http.response.status_code": response.status_code})
        response.headers["X-Request-Id"] = g.request_id
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        write = log.debug if request.path in QUIET else log.info
        write(
            "request", method=request.method, path=request.path, status=response.status_code, ms=round(seconds * 1e3, 1)
        )
        return response

    def clear(_error: BaseException | None) -> None:
        tracing.CURRENT.set(None)
        structlog.contextvars.unbind_contextvars("request_id", "trace_id")

    app.before_request(begin)
    app.after_request(end)
    app.teardown_request(clear)
