"""Refuses requests for hosts that are not this server's, and writes by web pages of other origins.

A page in a user's browser must not reach this server with the user's rights: neither under a name that the page's
owner resolves to this machine (DNS rebinding), nor by a form or `fetch` to its address (cross-site request forgery).
"""

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, Response, request

from api.errors import problem
from shared.addresses import host_name, origin_of
from shared.settings import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class HostCheck:
    """The hosts that requests may name, by the settings."""

    def __init__(self, settings: Settings) -> None:
        own = host_name(f"[{settings.host}]" if ":" in settings.host else settings.host) or settings.host
        self._is_wildcard = _is_unspecified(own)
        self._allows_all = "*" in settings.allowed_hosts
        names = {own, *(name for name in settings.allowed_hosts if not name.startswith("."))}
        if settings.public_url is not None:
            names.add(urlsplit(settings.public_url).hostname or "")
        if self._is_wildcard:
            own_name = socket.gethostname().lower()
            names |= {own_name, f"{own_name}.local"}
        self._names = frozenset(names)
        self._suffixes = tuple(name for name in settings.allowed_hosts if name.startswith("."))

    def allows(self, name: str) -> bool:
        """Whether a request may name this host (lower case, without port).

        A page cannot choose the address of an IP literal, so all are allowed where the API listens on all addresses.
        """
        if self._allows_all or name in self._names or name.endswith(self._suffixes):
            return True
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return self._is_wildcard or address.is_loopback


def _is_unspecified(name: str) -> bool:
    try:
        return ip_address(name).is_unspecified
    except ValueError:
        return name == ""


def install(app: Flask, settings: Settings) -> None:
    """Check each request before its view. The order of the checks: `Host`, then the origin of a write."""
    check = HostCheck(settings)
    trusted = frozenset(settings.cors_origins) | (
        {origin_of(settings.public_url)} if settings.public_url is not None else set()
    )

    def refuse() -> Response | None:
        return _refuse_host(check) or _refuse_origin(trusted)

    app.before_request(refuse)


def _refuse_host(check: HostCheck) -> Response | None:
    given = request.environ.get("HTTP_HOST")
    if given is None:
        if request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
            return None  # sent by health checks of load balancers; every browser sends a host
        return problem(400, "bad_request", "The request has no Host header, which HTTP/1.1 requires.")
    name = host_name(given)
    if name is None:
        return problem(400, "bad_request", f"The Host header {given[:100]!r} is not a host name with an optional port.")
    if check.allows(name):
        return None
    detail = (
        f"This server does not answer requests for the host {name[:100]!r}. If users reach it under that name, start "
        f"it with MIMEO_ALLOWED_HOSTS={name[:100]} or set MIMEO_PUBLIC_URL."
    )
    return problem(421, "unknown_host", detail)


def _refuse_origin(trusted: frozenset[str]) -> Response | None:
    """Browsers send `Sec-Fetch-Site` or `Origin` with each write; other programs send neither."""
    if request.method in SAFE_METHODS:
        return None
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if origin is not None and _normal(origin) in trusted:
        return None
    if site in {"same-origin", "none"} or (site is None and (origin is None or _is_own(origin))):
        return None
    detail = (
        f"A web page of {(origin or 'another site')[:100]} may not send {request.method[:20]} requests to this server. "
        "If the page is yours, name its origin in MIMEO_CORS_ORIGINS; behind a proxy, set MIMEO_PUBLIC_URL."
    )
    return problem(403, "cross_origin", detail)


def is_same_origin(settings: Settings) -> bool:
    """Whether a page of this server sent the request, by the headers that every browser adds to a write.

    A proxy may have changed the host; the origin is then that of the public URL.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if site is not None or origin is None:
        return site == "same-origin"
    is_public = settings.public_url is not None and _normal(origin) == origin_of(settings.public_url)
    return is_public or _is_own(origin)


def _normal(origin: str) -> str | None:
    try:
        return origin_of(origin)
    except ValueError:
        return None


def _is_own(origin: str) -> bool:
    """Whether an origin has the host and port of this request. A proxy may have changed the scheme."""
    host: str = request.environ.get("HTTP_HOST", "")
    return urlsplit(origin).netloc.lower() == host.lower() != ""
