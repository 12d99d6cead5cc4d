"""Requests a minute of each owner, counted in Redis for all API processes, or in memory while Redis does not answer."""

from flask import Flask, Response, g
from flask_limiter import Limiter, RequestLimit

from api.authentication import identity
from api.errors import problem
from shared.settings import Settings

_STRATEGY = "sliding-window-counter"
_REDIS_TIMEOUT_S = 1


def install(app: Flask, settings: Settings) -> None:
    """Refuse requests of an owner beyond the quota with 429. Public routes are not counted."""
    quota = settings.quota_requests_per_minute
    if quota is None:
        return

    def refuse(_limit: RequestLimit) -> Response:
        detail = f"{identity().owner} may send {quota:,} requests a minute (MIMEO_QUOTA_REQUESTS_PER_MINUTE)."
        return problem(429, "too_many_requests", detail)

    limiter = Limiter(
        lambda: identity().owner,
        app=app,
        application_limits=[f"{quota} per minute"],
        strategy=_STRATEGY,
        storage_uri=settings.resolved_redis_url.replace("unix://", "redis+unix://", 1),
        storage_options={"socket_timeout": _REDIS_TIMEOUT_S, "socket_connect_timeout": _REDIS_TIMEOUT_S},
        in_memory_fallback_enabled=True,
        headers_enabled=True,
        on_breach=refuse,
        key_prefix="mimeo",
    )
    limiter.request_filter(lambda: "identity" not in g)
