"""Requests that come through reverse proxies: forwarded headers, and a prefix that the proxy leaves in the path."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

from api.urls import prefix
from shared.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class PrefixMiddleware:
    """Moves the path of the public URL from `PATH_INFO` to `SCRIPT_NAME`, where a proxy has not removed it."""

    def __init__(self, app: "WSGIApplication", prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Run the application on the path below the prefix."""
        path = environ.get("PATH_INFO", "")
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + self._prefix
            environ["PATH_INFO"] = path[len(self._prefix) :] or "/"
        return self._app(environ, start_response)


def behind_proxies(app: "WSGIApplication", settings: Settings) -> "WSGIApplication":
    """The application as the settings place it. Forwarded headers count only with `MIMEO_TRUSTED_PROXIES`."""
    if prefix(settings):
        app = PrefixMiddleware(app, prefix(settings))
    count = settings.trusted_proxies
    return ProxyFix(app, x_for=count, x_proto=count, x_host=count) if count else app
