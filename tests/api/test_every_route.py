"""What every route has in common, by the application's own table of routes."""

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from shared.broker import NullBroker
from shared.settings import Settings

pytestmark = pytest.mark.slow_on_postgresql

IDS = {"training-jobs": "trn_", "generation-jobs": "gen_", "models": "mdl_", "artifacts": "art_"}


def routes() -> list[tuple[str, str]]:
    """Method and path of every route of the API, with an id of no resource."""
    rules = create_app(Settings(), broker=NullBroker()).url_map.iter_rules()
    api = [rule for rule in rules if not str(rule.endpoint).startswith(("openapi", "swagger"))]
    found = []
    for rule in api:
        kind = rule.rule.split("/")[2] if rule.rule.startswith("/v1/") else ""
        path = rule.rule.replace("<id>", IDS.get(kind, "") + "0" * 26).replace("<name>", "absent")
        found += [(method, path) for method in sorted((rule.methods or set()) - {"OPTIONS"})]
    return found


def pages() -> set[str]:
    """Paths of the studio's pages, whose queries belong to their scripts."""
    rules = create_app(Settings(), broker=NullBroker()).url_map.iter_rules()
    studio = [rule.rule for rule in rules if str(rule.endpoint).startswith("studio.")]
    return {path.replace("<id>", "0" * 26).replace("<name>", "absent") for path in studio}


ROUTES, PAGES = routes(), pages()


def test_table_has_the_routes() -> None:
    assert len(ROUTES) > 50


CHECKED = [(method, path) for method, path in ROUTES if path not in PAGES]


@pytest.mark.parametrize(("method", "path"), CHECKED)
def test_unknown_and_repeated_query_parameters_are_refused(client: FlaskClient, method: str, path: str) -> None:
    unknown = client.open(f"{path}?limti=1&a=b", method=method)
    repeated = client.open(f"{path}?limit=1&limit=2", method=method)

    assert (unknown.status_code, repeated.status_code) == (422, 422)
    if method != "HEAD":
        assert [error["pointer"] for error in unknown.get_json()["errors"]] == ["?limti", "?a"]
        assert {error["code"] for error in repeated.get_json()["errors"]} <= {"repeated", "unknown_field"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_requests_of_unknown_hosts_and_writes_of_other_origins_are_refused(
    client: FlaskClient, method: str, path: str
) -> None:
    rebound = client.open(path, method=method, headers={"Host": "evil.example"})
    foreign = client.open(path, method=method, headers={"Origin": "https://evil.example"})
    hostless = client.open(path, method=method, environ_overrides={"HTTP_HOST": None, "SERVER_PROTOCOL": "HTTP/1.1"})

    assert (rebound.status_code, hostless.status_code) == (421, 400)
    assert (foreign.status_code == 403) == (method not in {"GET", "HEAD"})


@pytest.mark.parametrize("path", sorted(PAGES - {"/login"}))  # which leads to the first page while no key is needed
def test_pages_accept_the_parameters_of_their_scripts(client: FlaskClient, path: str) -> None:
    assert client.get(f"{path}?status=queued&status=running&q=x").status_code == 200


LISTS = sorted({path for method, path in CHECKED if method == "GET" and path.endswith(("jobs", "models", "datasets"))})


@pytest.mark.parametrize("path", LISTS)
def test_limits_of_lists_are_checked_alike(client: FlaskClient, path: str) -> None:
    for limit in ("0", "-1", "1001", "x", ""):
        response = client.get(f"{path}?limit={limit}")
        assert response.status_code == 422
        assert [error["pointer"] for error in response.get_json()["errors"]] == ["?limit"]
