"""Requests a minute of each owner, counted in Redis for all API processes, or in memory while Redis does not answer."""

import math
import time

from flask import Flask, Response, g
from flask_limiter import Limiter, RequestLimit

from api.authentication import identity
from api.errors import problem
from shared.settings import Settings

_STRATEGY = "sliding-window-counter"
_REDIS_TIMEOUT_S = 1
_MINUTE_S = 60


def install(app: Flask, settings: Settings) -> None:
    """Refuse requests of an owner beyond the quota with 429. Public routes are not counted."""
    quota = settings.quota_requests_per_minute
    if quota is None:
        return

    def refuse(limit: RequestLimit) -> Response:
        detail = f"{identity().owner} may send {quota:,} requests a minute (MIMEO_QUOTA_REQUESTS_PER_MINUTE)."
        refused = problem(429, "too_many_requests", detail)
        refused.headers["Retry-After"] = str(min(_MINUTE_S, max(1, math.ceil(limit.reset_at - time.time()))))
        return refused

    limiter = Limiter(
        lambda: identity().owner,
        app=app,
        application_limits=[f"{quota} per minute"],
        strategy=_STRATEGY,
        storage_uri=settings.resolved_redis_url.replace("unix://", "redis+unix://", 1),
        storage_options={"socket_timeout": _REDIS_TIMEOUT_S, "socket_connect_timeout": _REDIS_TIMEOUT_S},
        in_memory_fallback_enabled=True,
        headers_enabled=False,  # it would put its `Retry-After` over that of an answer such as `export_pending`
        on_breach=refuse,
        key_prefix="mimeo",
    )
    limiter.request_filter(lambda: "identity" not in g)
