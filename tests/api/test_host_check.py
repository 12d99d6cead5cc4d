"""Hosts that requests may name, writes by web pages, and forwarded headers."""

import io
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.settings import Settings
from tests.api.live import serve

pytestmark = pytest.mark.slow_on_postgresql

Clients = Callable[..., FlaskClient]
TRAINING = "/v1/training-jobs"


@pytest.fixture
def client_with(settings: Settings, database: SessionFactory) -> Iterator[Clients]:
    """Makes a client of an application with changed settings."""
    apps = []

    def make(**changes: Any) -> FlaskClient:
        known = settings.model_dump() | changes
        apps.append(create_app(Settings(**known), broker=NullBroker()))
        return apps[-1].test_client()

    yield make
    for app in apps:
        app.extensions["mimeo"].close()


@pytest.mark.parametrize("path", ["/", TRAINING, "/healthz", "/metrics", "/openapi/openapi.json", "/nowhere"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "10.0.0.7.evil.example", "192.168.1.5"])
def test_request_for_an_unknown_host_is_refused_on_every_route(client: FlaskClient, path: str, host: str) -> None:
    response = client.get(path, headers={"Host": host})

    assert (response.status_code, response.get_json()["code"]) == (421, "unknown_host")
    assert f"MIMEO_ALLOWED_HOSTS={host.removesuffix(':8000')}" in response.get_json()["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST.", "a.localhost", "127.0.0.1:8000", "127.8.9.1", "[::1]:8000"]
)
def test_loopback_is_always_allowed(client: FlaskClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("changes", "allowed", "refused"),
    [
        ({"host": "192.168.1.5"}, ["192.168.1.5:8000"], ["192.168.1.6", "gpu-box"]),
        ({"host": "gpu-box"}, ["gpu-box", "GPU-box:8000"], ["gpu-box.example.org"]),
        ({"host": "::1"}, ["[::1]:8000"], ["[::2]"]),
        ({"host": "0.0.0.0"}, ["192.168.1.5:8000", "[fe80::1]:8000", socket.gethostname()], ["gpu-box.example"]),
        ({"host": "::"}, ["192.168.1.5:8000", "[fe80::1]:8000"], ["rebound.evil.example"]),
        ({"public_url": "https://models.example.org/mimeo"}, ["models.example.org"], ["example.org"]),
        ({"allowed_hosts": "gpu-box, .example.org"}, ["gpu-box:80", "a.example.org"], ["gpu-box.lan", "example.org"]),
        ({"allowed_hosts": "*"}, ["anything.example"], []),
    ],
)
def test_settings_add_hosts(
    client_with: Clients, changes: dict[str, str], allowed: list[str], refused: list[str]
) -> None:
    client = client_with(**changes)

    statuses = {host: client.get("/healthz", headers={"Host": host}).status_code for host in allowed + refused}

    assert statuses == dict.fromkeys(allowed, 200) | dict.fromkeys(refused, 421)


@pytest.mark.parametrize("host", ["", "a b", "localhost:port", "localhost@evil.example", "localhost/", "[::1", "a,b"])
def test_malformed_host_is_400(client: FlaskClient, host: str) -> None:
    response = client.get("/healthz", headers={"Host": host})

    assert (response.status_code, response.get_json()["code"]) == (400, "bad_request")


def test_http_1_1_without_a_host_is_400_and_http_1_0_is_not(client: FlaskClient) -> None:
    environ = {"HTTP_HOST": None, "SERVER_PROTOCOL": "HTTP/1.1"}
    modern = client.get("/healthz", environ_overrides=environ)
    old = client.get("/healthz", environ_overrides=environ | {"SERVER_PROTOCOL": "HTTP/1.0"})

    assert (modern.status_code, modern.get_json()["code"], old.status_code) == (400, "bad_request", 200)


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_write_by_a_page_of_another_origin_is_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    form = {"name": "dickens", "kind": "text", "file": (io.BytesIO(b"It was the best of times. " * 40), "a.txt")}
    responses = [
        client.post("/v1/datasets", data=form, content_type="multipart/form-data", headers=headers),
        client.post(TRAINING, json={"model_type": "vae", "dataset": "digits"}, headers=headers),
        client.delete(f"{TRAINING}/trn_{'0' * 26}", headers=headers),
        client.post(f"{TRAINING}/trn_{'0' * 26}/cancel", headers=headers),
    ]

    assert [(r.status_code, r.get_json()["code"]) for r in responses] == [(403, "cross_origin")] * 4
    assert "MIMEO_CORS_ORIGINS" in responses[0].get_json()["detail"]
    assert client.get(TRAINING).get_json()["data"] == []
    assert client.get("/v1/datasets/dickens").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_write_by_a_program_or_a_page_of_this_server_is_accepted(client: FlaskClient, headers: dict[str, str]) -> None:
    response = client.post(TRAINING, json={"model_type": "vae", "dataset": "digits"}, headers=headers)

    assert response.status_code == 202


def test_page_of_the_public_url_may_write_although_the_proxy_changes_the_host(client_with: Clients) -> None:
    client = client_with(public_url="https://models.example.org/mimeo")
    vae = {"model_type": "vae", "dataset": "digits"}

    own = client.post(TRAINING, json=vae, headers={"Origin": "https://models.example.org"})
    other = client.post(TRAINING, json=vae, headers={"Origin": "http://models.example.org"})

    assert (own.status_code, other.status_code) == (202, 403)


FORWARDED = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.1"}


def test_forwarded_headers_count_only_behind_trusted_proxies(client_with: Clients) -> None:
    plain, trusting = client_with(), client_with(trusted_proxies=1)

    assert plain.get("/healthz", headers=FORWARDED).status_code == 200
    assert trusting.get("/healthz", headers=FORWARDED).status_code == 421
    upstream = {**FORWARDED, "Host": "upstream.lan", "X-Forwarded-Host": "localhost"}
    assert trusting.get("/healthz", headers=upstream).status_code == 200
    # With one proxy, only the last value counts: the first one came from the client.
    chain = {**FORWARDED, "X-Forwarded-Host": "localhost, evil.example"}
    assert trusting.get("/healthz", headers=chain).status_code == 421


@pytest.mark.slow
def test_server_ignores_forwarded_headers_and_requires_a_host(settings: Settings, database: SessionFactory) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in {**FORWARDED, "X-Script-Name": "/a"}.items())
    with serve(settings) as server:
        redirect = _exchange(server.url, f"GET /openapi HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
        missing = _exchange(server.url, "GET /healthz HTTP/1.1\r\n\r\n")
        rebound = _exchange(server.url, "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n")

    assert "location: /openapi/swagger\r\n" in redirect.lower()
    assert missing.startswith("HTTP/1.1 400")
    assert rebound.startswith("HTTP/1.1 421")


def _exchange(url: str, request: str) -> str:
    """The head of the response to a request."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request.encode())
        received = b""
        while b"\r\n\r\n" not in received and (chunk := connection.recv(65536)):
            received += chunk
    return received.partition(b"\r\n\r\n")[0].decode() + "\r\n"


def test_cross_origin_reads_are_off_unless_origins_are_named(client: FlaskClient, client_with: Clients) -> None:
    page = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}
    open_to = client_with(cors_origins="http://localhost:3000/, https://pages.example.org:443")

    off = client.get(TRAINING, headers=page)
    read = open_to.get("/v1/nowhere", headers=page)
    other = open_to.get(TRAINING, headers={"Origin": "https://evil.example"})
    preflight = open_to.options(TRAINING, headers={**page, "Access-Control-Request-Method": "POST"})
    written = open_to.post(TRAINING, json={"model_type": "vae", "dataset": "digits"}, headers=page)
    also = open_to.get(TRAINING, headers={"Origin": "https://pages.example.org"})

    assert "Access-Control-Allow-Origin" not in off.headers
    assert read.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert "Location" in read.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in other.headers
    assert "Origin" in other.headers["Vary"]
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Idempotency-Key" in preflight.headers["Access-Control-Allow-Headers"]
    assert written.status_code == 202
    assert also.headers["Access-Control-Allow-Origin"] == "https://pages.example.org"
