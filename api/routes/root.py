"""The root of the API."""

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint

from api.responses import json_response
from api.schemas.resources import Root
from api.urls import url
from api.web.pages import page
from shared.version import VERSION

routes = APIBlueprint("root", __name__, doc_ui=False)


@routes.get("/")
def get_root() -> Response:
    """Show the version and the addresses of the documentation; a browser receives the studio's first page."""
    if request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html":
        response = page("home", "Studio")
        response.headers["Vary"] = "Accept, Cookie"
        return response
    return json_response(Root(version=VERSION, documentation=url("/openapi/"), openapi=url("/openapi/openapi.json")))
