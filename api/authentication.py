"""Identifies each request by its API key or its browser session, and checks the scope that its route needs."""

import time
from collections.abc import Callable
from urllib.parse import quote

from flask import Flask, Response, g, redirect, request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as WsgiResponse

from api.errors import problem
from api.host_check import SAFE_METHODS, is_same_origin
from api.runtime import Runtime
from api.urls import prefix, url
from shared.db.session import is_transient
from shared.errors import Forbidden
from shared.identity import EVERYONE, Identity, Scope
from shared.services import api_keys, login_sessions
from shared.settings import Settings

RECHECK_S = 5.0  # between two checks of the credentials of an open stream
_COOKIE = "mimeo_session"
# Routes without data of an owner; `session.log_in` checks the key itself.
PUBLIC = frozenset({
    "health.get_health",
    "health.get_readiness",
    "openapi_without_slash",
    "session.log_in",
    "session.log_out",
    "studio.login",
})  # fmt: skip
_PUBLIC_BLUEPRINTS = frozenset({"assets", "openapi", "swagger"})
_SCOPES = {"health.get_metrics": Scope.METRICS}
_HOW = (
    "Send an API key as `Authorization: Bearer mimeo_…`; the command line reads it from MIMEO_API_KEY or "
    "MIMEO_API_KEY_FILE. `mimeo keys create` on the server makes one."
)


def identity() -> Identity:
    """The identity of the current request. Raises RuntimeError on a public route."""
    if "identity" not in g:
        raise RuntimeError("This route does not identify its requests.")
    found: Identity = g.identity
    return found


def require(scope: Scope) -> None:
    """Check that the current request has a scope. Raises Forbidden."""
    if not identity().has(scope):
        given = ", ".join(sorted(identity().scopes))
        raise Forbidden(f"This needs a key with the scope {scope}; the key has: {given}.")


def refusal_check(runtime: Runtime) -> Callable[[], bool]:
    """Whether the credentials of the current request have ended since, for use after its view has returned.

    The database is read every RECHECK_S seconds, whenever the function is called.
    """
    if "identify" not in g:
        return lambda: False
    identify: Callable[[Session], Identity | None] = g.identify
    due = time.monotonic() + RECHECK_S

    def is_refused() -> bool:
        nonlocal due
        if time.monotonic() < due:
            return False
        due = time.monotonic() + RECHECK_S
        try:
            with runtime.reading() as session:
                return identify(session) is None
        except SQLAlchemyError as error:
            if is_transient(error):
                return False  # the next check decides
            raise

    return is_refused


def is_secure(settings: Settings) -> bool:
    """Whether the browser of the current request uses HTTPS."""
    return request.is_secure or (settings.public_url or "").startswith("https:")


def cookie_name(settings: Settings) -> str:
    """Name of the session's cookie.

    Browsers send the cookies of a host to all of its ports, so the name has the port. With the prefix `__Host-` they
    accept the cookie from this host alone, not from a neighbour in its domain.
    """
    _, has_port, port = request.host.rpartition(":")
    name = f"{_COOKIE}_{port}" if has_port and port.isdigit() else _COOKIE
    return f"__Host-{name}" if is_secure(settings) and not prefix(settings) else name


def install(app: Flask, runtime: Runtime) -> None:
    """Check each request before its view. Requests act as the owner `local` while authentication is off."""
    is_required = runtime.settings.auth == "required"

    def authenticate() -> WsgiResponse | None:
        if not is_required:
            g.identity = EVERYONE
            return None
        if _is_public():
            return None
        found = _identify(runtime)
        if isinstance(found, Response):
            return found
        if found is None:
            return _refusal()
        g.identity = found
        require(_SCOPES.get(str(request.endpoint)) or (Scope.READ if request.method in SAFE_METHODS else Scope.WRITE))
        return None

    def keep_private(response: Response) -> Response:
        """Let no proxy store an answer for one owner, which it would give to others."""
        if is_required and "identity" in g and not response.cache_control.no_store:
            response.cache_control.private = True
        return response

    app.before_request(authenticate)
    app.after_request(keep_private)


def _is_public() -> bool:
    """Whether anyone may send this request: a preflight, a public route, or an address without a route (404)."""
    is_unrouted = request.endpoint is None
    return (
        is_unrouted
        or request.method == "OPTIONS"
        or request.endpoint in PUBLIC
        or request.blueprint in _PUBLIC_BLUEPRINTS
    )


def _identify(runtime: Runtime) -> Identity | Response | None:
    """The identity of an API key or a session; None without a valid one."""
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    is_key = kind.lower() == "bearer"  # another kind may be for a proxy in front of this server
    token = key.strip() if is_key else request.cookies.get(cookie_name(runtime.settings))
    if token is None:
        return None
    service = api_keys if is_key else login_sessions
    g.identify = lambda session: service.identify(session, token)
    with runtime.reading() as session:
        found: Identity | None = g.identify(session)
    # A browser adds the cookie to every request, also to one that another page causes.
    if not is_key and found is not None and request.method not in SAFE_METHODS and not is_same_origin(runtime.settings):
        detail = (
            "This request has the cookie of a browser, but not the origin of a page of this server. Send an API key."
        )
        return problem(403, "cross_origin", detail)
    return found


def _refusal() -> WsgiResponse:
    """401, or the login page for a page of the studio."""
    is_page = request.method == "GET" and request.accept_mimetypes.best_match(("application/json", "text/html"))
    if is_page == "text/html" and not request.path.startswith("/v1/") and request.path != "/metrics":
        target = request.full_path.rstrip("?")
        response = redirect(f"{url('/login')}?next={quote(target, safe='')}")
        response.headers["Cache-Control"] = "no-store"
        response.vary.update(("Cookie", "Accept"))
        return response
    detail = (
        "The API key is unknown, revoked or expired."
        if "Authorization" in request.headers
        else "This server needs an API key."
    )
    refused = problem(401, "unauthorized", f"{detail} {_HOW}")
    refused.headers["WWW-Authenticate"] = 'Bearer realm="mimeo"'
    return refused
