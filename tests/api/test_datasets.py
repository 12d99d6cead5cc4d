import hashlib
import io
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from shared.broker import NullBroker
from shared.datasets import REGISTRY
from shared.datasets.checksums import record
from shared.db.session import SessionFactory
from shared.settings import Settings
from shared.storage import Storage

TEXT = "It was the best of times, it was the worst of times. " * 40


def upload(client: FlaskClient, data: bytes = TEXT.encode(), **fields: str) -> TestResponse:
    form = {"name": "dickens", "kind": "text", **fields, "file": (io.BytesIO(data), "dickens.txt")}
    return client.post("/v1/datasets", data=form, content_type="multipart/form-data")


def test_registry_is_listed_with_the_availability_of_each_dataset(client: FlaskClient) -> None:
    listed = {dataset["name"]: dataset for dataset in client.get("/v1/datasets").get_json()["data"]}

    assert set(REGISTRY) <= set(listed)
    assert listed["digits"]["availability"] == "builtin"
    assert listed["mnist"]["availability"] == "downloadable"
    assert (listed["mnist"]["examples"], listed["mnist"]["classes"]) == (70_000, 10)
    assert listed["cifar10"]["image_shape"] == [3, 32, 32]
    assert listed["shakespeare"]["image_shape"] is None


def test_list_is_paged_by_name(client: FlaskClient) -> None:
    upload(client)
    whole = [dataset["name"] for dataset in client.get("/v1/datasets").get_json()["data"]]
    pages, address = [], "/v1/datasets?limit=5"
    while address:
        response = client.get(address)
        pages.append([dataset["name"] for dataset in response.get_json()["data"]])
        link = response.headers.get("Link", "")
        assert response.get_json()["has_more"] == bool(link)
        address = link.partition(">")[0].removeprefix("<")

    assert [name for page in pages for name in page] == whole == sorted(whole)
    assert "dickens" in whole
    assert {len(page) for page in pages[:-1]} == {5}


def test_checksum_of_a_first_download_is_listed(settings: Settings, client: FlaskClient) -> None:
    path, checksum = "text/nietzsche.txt", f"sha256:{'7' * 64}"
    before = client.get("/v1/datasets/nietzsche").get_json()["checksums"]

    record(settings.downloads_path, path, checksum)

    assert before == {}
    assert client.get("/v1/datasets/nietzsche").get_json()["checksums"] == {path: checksum}
    assert len(client.get("/v1/datasets/mnist").get_json()["checksums"]) == 4


def test_unavailable_dataset_names_the_folder_of_its_files(settings: Settings, database: SessionFactory) -> None:
    offline = settings.model_copy(update={"offline": True, "datasets_dir": Path("/nonexistent")})
    app = create_app(offline, broker=NullBroker())

    mnist = app.test_client().get("/v1/datasets/mnist").get_json()

    app.extensions["mimeo"].close()
    assert mnist["availability"] == "missing"
    assert "MNIST/raw/train-images-idx3-ubyte" in mnist["detail"]


def test_uploaded_text_can_be_listed_and_trained_on(client: FlaskClient, storage: Storage) -> None:
    response = upload(client)

    dataset = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == "/v1/datasets/dickens"
    assert (dataset["source"], dataset["availability"], dataset["examples"]) == ("upload", "present", len(TEXT))
    assert dataset["vocabulary"] == len(set(TEXT))
    assert dataset["sha256"] == hashlib.sha256(TEXT.encode()).hexdigest()
    assert client.get("/v1/datasets/dickens").get_json() == dataset
    assert "dickens" in [shown["name"] for shown in client.get("/v1/datasets").get_json()["data"]]
    training = client.post("/v1/training-jobs", json={"model_type": "lstm", "dataset": "dickens"})
    assert training.status_code == 202


def test_line_ends_are_normalized_at_the_door(client: FlaskClient, storage: Storage) -> None:
    text = TEXT.replace(". ", ".\r\n")

    dataset = upload(client, b"\xef\xbb\xbf" + text.encode()).get_json()

    normalized = text.replace("\r\n", "\n").encode()
    [name] = storage.list_names("datasets")
    assert storage.read_bytes(f"datasets/{name}") == normalized
    assert dataset["sha256"] == hashlib.sha256(normalized).hexdigest()
    assert (dataset["size"], dataset["examples"]) == (len(normalized), len(normalized))


@pytest.mark.parametrize("name", ["dickens", "shakespeare"])
def test_existing_name_is_a_conflict(client: FlaskClient, name: str) -> None:
    upload(client)

    assert upload(client, name=name).status_code == 409


def test_text_that_is_not_utf8_is_refused_with_the_offset(client: FlaskClient) -> None:
    response = upload(client, TEXT.encode() + b"\xff\xfe")

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == "/file"
    assert f"{len(TEXT)}" in response.get_json()["detail"].replace(",", "")


@pytest.mark.parametrize("data", [b"", b"short", b"a" * 5000, b"\r\n" * 200])
def test_empty_short_or_uniform_text_is_refused(client: FlaskClient, data: bytes) -> None:
    response = upload(client, data)

    assert response.status_code == 422
    assert client.get("/v1/datasets/dickens").status_code == 404


def test_text_of_several_chunks_is_stored_whole(client: FlaskClient) -> None:
    data = TEXT.encode() * 200

    answer = upload(client, data)

    assert answer.status_code == 201, answer.get_json()
    assert answer.get_json()["size"] == len(data) > 400_000


def test_file_over_the_limit_is_413(settings: Settings, client: FlaskClient) -> None:
    small = create_app(settings.model_copy(update={"max_upload_bytes": 1000}), broker=NullBroker())

    slightly = upload(small.test_client(), TEXT.encode())
    vastly = upload(small.test_client(), TEXT.encode() * 100)

    small.extensions["mimeo"].close()
    assert (slightly.status_code, vastly.status_code) == (413, 413)
    assert slightly.mimetype == vastly.mimetype == "application/problem+json"


def test_unavailable_storage_is_503_and_leaves_no_dataset(
    settings: Settings, client: FlaskClient, unreachable_store: str
) -> None:
    storeless = create_app(settings.model_copy(update={"storage_url": unreachable_store}), broker=NullBroker())

    response = upload(storeless.test_client())
    storeless.extensions["mimeo"].close()

    assert (response.status_code, response.get_json()["code"]) == (503, "unavailable")
    assert "file store" in response.get_json()["detail"]
    assert int(response.headers["Retry-After"]) > 0
    assert [d for d in client.get("/v1/datasets").get_json()["data"] if d["source"] == "upload"] == []


def test_missing_and_unknown_form_fields_are_each_named(client: FlaskClient) -> None:
    form = {"nmae": "x", "kind": "sound"}

    response = client.post("/v1/datasets", data=form, content_type="multipart/form-data")

    assert response.status_code == 422
    pointers = {error["pointer"] for error in response.get_json()["errors"]}
    assert pointers == {"/name", "/file", "/nmae", "/kind"}
    assert 'Did you mean "name"?' in response.get_json()["detail"]


@pytest.mark.parametrize("name", ["", "Has Capitals", "../escape", "a" * 65, "nul\x00"])
def test_invalid_name_is_refused(client: FlaskClient, name: str) -> None:
    response = upload(client, name=name)

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == "/name"


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data-not", ""])
def test_upload_without_a_form_is_415(client: FlaskClient, content_type: str) -> None:
    assert client.post("/v1/datasets", data=b"{}", content_type=content_type).status_code == 415


def test_unknown_dataset_is_404_with_the_closest_name(client: FlaskClient) -> None:
    response = client.get("/v1/datasets/mnits")

    assert response.status_code == 404
    assert "mnist" in response.get_json()["detail"]
