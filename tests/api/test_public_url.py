"""A proxy serves the API under a prefix: every address in a response stays under it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient
from pydantic import ValidationError

from api.app import create_app
from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind
from shared.settings import Settings
from stack import __main__ as stack
from tests.api.worker_hands import WorkerWrites

pytestmark = pytest.mark.slow_on_postgresql

PUBLIC = "https://models.example.org/mimeo"
VAE = {"model_type": "vae", "dataset": "digits"}


@pytest.fixture
def public(settings: Settings, database: SessionFactory) -> Iterator[FlaskClient]:
    """A client of an application with a public URL, as the proxy sends requests: without the prefix."""
    app = create_app(settings.model_copy(update={"public_url": f"{PUBLIC}/"}), broker=NullBroker())
    yield app.test_client()
    app.extensions["mimeo"].close()


def test_every_link_of_every_resource_is_under_the_public_url(public: FlaskClient, worker: WorkerWrites) -> None:
    created = [public.post("/v1/training-jobs", json=VAE) for _ in range(2)]
    lease = worker.claim(JobKind.TRAINING)
    worker.file(lease, "epoch-0001.png", b"\x89PNG")
    model = worker.publish(lease)
    created.append(public.post("/v1/generation-jobs", json={"model": model}))

    paths = ["/", "/v1/training-jobs?limit=1", "/v1/generation-jobs", "/v1/models", f"/v1/models/{model}"]
    paths.append(f"/v1/training-jobs/{lease.job_id}/artifacts")
    pages = [public.get(path) for path in paths]

    links = [url for response in [*created, *pages] for url in _links(response.get_json())]
    locations = [response.headers["Location"] for response in created]
    following = re.findall("<(.*?)>", pages[1].headers["Link"])
    assert len(links) > 20
    assert len(following) == 1
    assert [url for url in links + locations + following if not url.startswith(f"{PUBLIC}/")] == []
    assert public.get(following[0].removeprefix(PUBLIC)).status_code == 200


def _links(value: object) -> Iterator[str]:
    """Each text in `urls`, `documentation` and `openapi` of a JSON value."""
    if isinstance(value, list):
        for item in value:
            yield from _links(item)
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "urls":
                yield from item.values()
            elif name in {"documentation", "openapi"}:
                yield str(item)
            else:
                yield from _links(item)


@pytest.mark.parametrize("path", ["/openapi", "/openapi/"])
def test_redirects_are_relative_and_stay_under_the_prefix(public: FlaskClient, path: str) -> None:
    for host in ("127.0.0.1:8000", "models.example.org"):
        response = public.get(path, headers={"Host": host})

        location = response.headers["Location"]
        assert response.status_code == 302
        assert "://" not in location
        assert urljoin(f"{PUBLIC}{path}", location) == f"{PUBLIC}/openapi/swagger"


def test_documentation_page_refers_to_files_under_the_prefix(public: FlaskClient) -> None:
    page = public.get("/openapi/swagger").text

    addresses = re.findall(r'(?:src|href)="(.*?)"', page) + re.findall(r'new URL\("(.*?)"', page)
    assert len(addresses) >= 4
    for address in addresses:
        absolute = urljoin(f"{PUBLIC}/openapi/swagger", address)
        assert absolute.startswith(f"{PUBLIC}/openapi/")
        assert public.get(absolute.removeprefix(PUBLIC), buffered=True).status_code == 200


@pytest.mark.parametrize("path", ["/v1//models", "//evil.example/openapi", "/openapi//"])
def test_double_slash_is_not_redirected(public: FlaskClient, path: str) -> None:
    assert public.get("/", environ_overrides={"PATH_INFO": path}).status_code == 404


def test_openapi_document_names_the_server(public: FlaskClient, client: FlaskClient) -> None:
    assert public.get("/openapi/openapi.json").get_json()["servers"] == [{"url": PUBLIC}]
    assert "servers" not in client.get("/openapi/openapi.json").get_json()


@pytest.mark.parametrize("path", ["/mimeo", "/mimeo/", "/mimeo/v1/models", "/mimeo/openapi/swagger"])
def test_proxy_may_leave_the_prefix_in_the_path(public: FlaskClient, path: str) -> None:
    assert public.get(path).status_code == 200
    assert public.get("/mimeos/v1/models").status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "notaurl",
        "//host",
        "ftp://host",
        "http://",
        "http://host:port",
        "https://u@host",
        "http://host/?a",
        "/mimeo",
    ],
)
def test_invalid_public_url_stops_the_start(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIMEO_PUBLIC_URL", url)

    assert stack.main(["--home", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"mimeo: MIMEO_PUBLIC_URL={url!r} is not valid: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allowed_hosts", "http://gpu-box"),
        ("allowed_hosts", "gpu-box:8000"),
        ("cors_origins", "*"),
        ("cors_origins", "localhost:3000"),
        ("cors_origins", "http://localhost:3000/page"),
        ("trusted_proxies", "-1"),
    ],
)
def test_invalid_addresses_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MIMEO_{name.upper()}", value)

    with pytest.raises(ValidationError) as caught:
        Settings()
    assert json.loads(caught.value.json())[0]["loc"][0] == name
