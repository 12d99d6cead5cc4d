"""The pages of the studio. Each is a shell; its script reads the API."""

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from api.authentication import identity
from api.runtime import runtime
from api.urls import url
from api.web import assets
from shared.version import VERSION

routes = Blueprint("studio", __name__, template_folder="templates")

_POLICY = (
    "default-src 'none'; script-src 'self'{evaluation}; connect-src 'self'; img-src 'self' blob: data:; "
    "style-src 'self'; font-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_THEMES = {"light", "dark"}


def page(name: str, title: str, *, runs_models: bool = False, uses_charts: bool = False) -> Response:
    """The shell of a page. name: of its script in `static/js/pages`. runs_models: the page may compile WebAssembly."""
    theme = request.cookies.get("theme", "")
    text = render_template(
        "page.html",
        base=url("").rstrip("/"),
        assets=url(f"/studio/{assets.digest()}"),
        name=name,
        modules=assets.modules_of(f"js/pages/{name}.js"),
        title=title,
        theme=theme if theme in _THEMES else "",
        version=VERSION,
        uses_charts=uses_charts,
        owner=_owner(),
    )
    response = Response(text, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY.format(
        evaluation=" 'wasm-unsafe-eval'" if runs_models else ""
    )
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return response


def _owner() -> str | None:
    """The owner who is logged in; None while authentication is off, and on the login page."""
    return identity().owner if runtime().settings.auth == "required" and request.endpoint != "studio.login" else None


@routes.get("/login")
def login() -> BaseResponse:
    """The login with an API key."""
    if runtime().settings.auth == "off":
        return redirect(url("/"))
    return page("login", "Log in")


@routes.get("/jobs")
def jobs() -> Response:
    """The list of training jobs."""
    return page("jobs", "Jobs")


@routes.get("/jobs/new")
def new_job() -> Response:
    """The form of a new training job."""
    return page("new", "New training")


@routes.get("/jobs/<id>")
def job(id: str) -> Response:  # noqa: A002, ARG001 - the script reads it from the address
    """One training job: curves, film of samples, history."""
    return page("job", "Job", uses_charts=True)


@routes.get("/models")
def models() -> Response:
    """The list of models."""
    return page("models", "Models")


@routes.get("/play")
def play() -> Response:
    """A choice of models to play with."""
    return page("models", "Play")


@routes.get("/play/<id>")
def playground(id: str) -> Response:  # noqa: A002, ARG001
    """The playground of one model."""
    return page("play", "Play", runs_models=True)


@routes.get("/compare")
def compare() -> Response:
    """Training jobs side by side."""
    return page("compare", "Compare", uses_charts=True)


@routes.get("/data")
def data() -> Response:
    """The list of datasets."""
    return page("data", "Data")


@routes.get("/data/<name>")
def dataset(name: str) -> Response:  # noqa: ARG001
    """One dataset: its preview, description and use."""
    return page("dataset", "Dataset")


@routes.get("/workers")
def workers() -> Response:
    """The workers."""
    return page("workers", "Workers")
