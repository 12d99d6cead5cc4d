"""Health, readiness and metrics, for operators."""

from typing import cast

from flask import Response, current_app
from flask_openapi.blueprint import APIBlueprint
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from api.instrumentation import REGISTRY
from api.openapi import JSON, reference
from api.readiness import check_database, check_disk, check_redis, check_storage
from api.responses import json_response
from api.runtime import runtime
from api.schemas.resources import Notice, Readiness
from api.tags import OPERATIONS

routes = APIBlueprint("health", __name__, abp_tags=[OPERATIONS])
_HEALTH = {"content": {JSON: {"schema": reference(Notice)}}}
_READINESS = {"content": {JSON: {"schema": reference(Readiness)}}}


@routes.get("/healthz", responses={"200": _HEALTH})
def get_health() -> Response:
    """Check that the process responds. No dependency is checked."""
    return json_response(Notice())


@routes.get("/readyz", responses={"200": dict(_READINESS), "503": dict(_READINESS)})
def get_readiness() -> Response:
    """Check database, Redis, storage and free space. 503 when one check fails; `checks` names it."""
    current = runtime()
    checks = [check_database(current), check_redis(current), check_storage(current), check_disk(current)]
    is_ready = all(check.ok for check in checks)
    return json_response(
        Readiness(status="ready" if is_ready else "unavailable", checks=checks), 200 if is_ready else 503
    )


@routes.get("/metrics", responses={"200": {"content": {"text/plain": {"schema": {"type": "string"}}}}})
def get_metrics() -> Response:
    """Export metrics for Prometheus."""
    registry = cast(CollectorRegistry, current_app.extensions[REGISTRY])
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
