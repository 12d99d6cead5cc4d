"""The application factory."""

from typing import Any

from flask import redirect
from flask_openapi.models.info import Info
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from api import authentication, compression, cors, errors, host_check, instrumentation, query_check, rate_limit
from api import runtime as runtimes
from api.files import ignore_unsupported_ranges
from api.job_metrics import DatabaseCollector, NotificationCollector
from api.openapi import DocumentedApi
from api.process_metrics import DiskCollector, StreamCollector
from api.proxies import behind_proxies
from api.routes import BLUEPRINTS
from api.runtime import Runtime
from api.streams import hub
from api.urls import prefix
from api.web import assets, pages
from shared.broker import Broker, CeleryBroker
from shared.settings import Settings
from shared.version import VERSION

DESCRIPTION = """Trains small generative models as jobs and serves their samples.

POST a training job, follow it, and generate samples from its model. Errors are RFC 9457 problems; `errors` points to
the invalid fields, at most 50 of them. Lists are paged by `limit` and `after`, with the next page in `Link`.
"""


def create_app(settings: Settings, *, broker: Broker | None = None) -> DocumentedApi:
    """The API as a WSGI application.

    broker: replaces Redis in a stack or a test without it. No connection is opened before the first request.
    """
    app = DocumentedApi(
        "api",
        info=Info(title="Mimeo", version=VERSION, description=DESCRIPTION),
        validation_error_callback=errors.reject_query,
        static_folder=None,
        servers=[{"url": settings.public_url.rstrip("/")}] if settings.public_url else None,
    )
    app.url_map.merge_slashes = False  # its redirects would be absolute, with the host and scheme of this request
    app.config.update(MAX_CONTENT_LENGTH=settings.max_body_bytes, PROPAGATE_EXCEPTIONS=False)
    runtime = Runtime(settings, lambda: broker or CeleryBroker(settings))
    runtimes.install(app, runtime)
    hub.install(app, runtime)
    registry = _registry(runtime)
    instrumentation.install(app, registry)
    cors.install(app, settings.cors_origins)
    compression.install(app)
    host_check.install(app, settings)
    authentication.install(app, runtime)
    rate_limit.install(app, settings)
    app.before_request(ignore_unsupported_ranges)
    errors.install(app)
    for blueprint in BLUEPRINTS:
        app.register_api(blueprint)
    app.register_blueprint(assets.routes)
    app.register_blueprint(pages.routes)
    # Redirect to Swagger UI, in place of flask-openapi's page of viewers.
    viewer = f"{prefix(settings)}/openapi/swagger"
    app.view_functions["openapi.openapi"] = lambda: redirect(viewer)
    app.add_url_rule("/openapi", "openapi_without_slash", lambda: redirect(viewer))
    app.generate_spec_json()
    query_check.install(app, app.spec_json)
    app.wsgi_app = behind_proxies(app.wsgi_app, settings)  # type: ignore[method-assign,assignment] # Flask's own way
    return app


def _registry(runtime: Runtime) -> CollectorRegistry:
    """A metrics registry per application, so that two in one process do not share metrics."""
    registry = CollectorRegistry()
    collectors: tuple[Any, ...] = (ProcessCollector, PlatformCollector, GCCollector)
    for collector in collectors:
        collector(registry=registry)
    for own in (DatabaseCollector, NotificationCollector, StreamCollector, DiskCollector):
        registry.register(own(runtime))
    return registry
