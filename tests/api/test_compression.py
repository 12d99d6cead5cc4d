import gzip

from flask.testing import FlaskClient

TYPES = "/v1/model-types"


def test_large_json_is_compressed_for_clients_that_accept_gzip(client: FlaskClient) -> None:
    plain = client.get(TYPES)
    packed = client.get(TYPES, headers={"Accept-Encoding": "br, gzip;q=0.5"})

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 3
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"


def test_refused_gzip_small_and_tagged_responses_are_not_compressed(client: FlaskClient) -> None:
    created = client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).get_json()
    accepting = {"Accept-Encoding": "gzip"}

    assert "Content-Encoding" not in client.get(TYPES, headers={"Accept-Encoding": "gzip;q=0"}).headers
    assert "Content-Encoding" not in client.get("/healthz", headers=accepting).headers
    assert "Content-Encoding" not in client.get(f"/v1/training-jobs/{created['id']}", headers=accepting).headers
