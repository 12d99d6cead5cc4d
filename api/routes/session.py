"""The session of a browser: log in with an API key, show the identity, log out."""

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

from api.authentication import cookie_name, identity, is_secure
from api.json_body import read_json
from api.openapi import answers, body
from api.responses import json_response
from api.runtime import runtime
from api.schemas.access import Session
from api.tags import OPERATIONS
from api.urls import prefix
from shared.errors import Conflict, Unauthorized
from shared.identity import Identity
from shared.services import api_keys, login_sessions
from shared.specs import Login, parse

routes = APIBlueprint("session", __name__, url_prefix="/v1/session", abp_tags=[OPERATIONS])


@routes.get("", responses=answers({200: Session}))
def get_session() -> Response:
    """Show the owner and the scopes of the API key, or of the browser session, that the request has."""
    return json_response(_shown(identity()))


@routes.post("", request_body=body("Login"), responses=answers({200: Session}, 400, 401, 409, 413, 415, 422))
def log_in() -> Response:
    """Log a browser in with an API key. The answer sets a cookie that scripts cannot read."""
    current = runtime()
    login = parse(Login, read_json())
    if current.settings.auth == "off":
        raise Conflict("Authentication is off (MIMEO_AUTH=off): requests need no API key.")
    with current.reading() as session:  # a wrong key does not wait for the lock of writers, nor take it
        found = api_keys.identify(session, login.key.get_secret_value().strip())
    if found is None:
        raise Unauthorized("The API key is unknown, revoked or expired.")
    with current.writing() as session:
        started = login_sessions.start(session, found)
    response = json_response(_shown(found))
    response.set_cookie(
        cookie_name(current.settings),
        started.token,
        expires=started.expires_at,
        path=prefix(current.settings) or "/",
        secure=is_secure(current.settings),
        httponly=True,
        samesite="Strict",
    )
    return response


@routes.delete("", responses=answers({204: None}))
def log_out() -> Response:
    """Log the browser out. Idempotent."""
    current = runtime()
    name = cookie_name(current.settings)
    if token := request.cookies.get(name):
        with current.reading() as session:
            is_known = login_sessions.identify(session, token) is not None
        if is_known:
            with current.writing() as session:
                login_sessions.end(session, token)
    response = Response(status=204)
    response.delete_cookie(
        name,
        path=prefix(current.settings) or "/",
        secure=is_secure(current.settings),
        httponly=True,
        samesite="Strict",
    )
    return response


def _shown(found: Identity) -> Session:
    settings = runtime().settings
    return Session(
        auth=settings.auth,
        owner=found.owner,
        scopes=sorted(found.scopes),
        key=found.key_id,
        expires_at=found.expires_at,
    )
