"""The root of the API."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api.responses import json_response
from api.schemas.resources import Root
from api.urls import url
from shared.version import VERSION

routes = APIBlueprint("root", __name__, doc_ui=False)


@routes.get("/")
def get_root() -> Response:
    """Show the version and the addresses of the documentation."""
    return json_response(Root(version=VERSION, documentation=url("/openapi/"), openapi=url("/openapi/openapi.json")))
