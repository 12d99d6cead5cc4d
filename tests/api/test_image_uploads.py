"""Uploads of images over HTTP."""

import io
import random
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from api.app import create_app
from shared.broker import NullBroker
from shared.db.session import SessionFactory, transaction
from shared.db.tables import PendingDeletion
from shared.services import pending_deletions
from shared.settings import Settings
from shared.storage import Storage
from tests.api.test_datasets import upload as upload_text
from tests.pictures import class_folders, encoded, grey_arrays, noise, npz, packed


def upload(client: FlaskClient, data: bytes, method: str = "POST", name: str = "pets", **fields: str) -> TestResponse:
    given = {"name": name, "kind": "images"} if method == "POST" else {}
    form = {**given, **fields, "file": (io.BytesIO(data), "pets.zip")}
    address = "/v1/datasets" if method == "POST" else f"/v1/datasets/{name}"
    return client.open(address, method=method, data=form, content_type="multipart/form-data")


def train(client: FlaskClient, model_type: str, **fields: Any) -> TestResponse:
    return client.post("/v1/training-jobs", json={"model_type": model_type, "dataset": "pets", **fields})


def due(database: SessionFactory) -> list[str]:
    with transaction(database) as session:
        return pending_deletions.due(session, 10)


def test_uploaded_images_are_described_in_words_and_can_be_trained_on(client: FlaskClient, storage: Storage) -> None:
    response = upload(client, class_folders(), description="of ours")

    dataset = response.get_json()
    assert response.status_code == 201, dataset
    assert response.headers["Location"] == "/v1/datasets/pets"
    assert dataset["title"] == "10 uploaded images in 2 classes, 32×32, colour"
    assert dataset["detail"].startswith("10 images in 2 classes, of 40×30 pixels. They become 32×32 in colour.")
    assert (dataset["kind"], dataset["examples"], dataset["classes"]) == ("images", 10, 2)
    assert (dataset["image_shape"], dataset["class_names"]) == ([3, 32, 32], ["cat", "dog"])
    assert (dataset["vocabulary"], dataset["version"], dataset["description"]) == (None, 1, "of ours")
    assert client.get("/v1/datasets/pets").get_json() == dataset
    [stored, shown] = sorted(storage.list_names("datasets"))
    assert len(storage.read_bytes(f"datasets/{stored}")) == dataset["size"]
    picture = client.get(dataset["picture"])
    assert (picture.mimetype, picture.data) == ("image/png", storage.read_bytes(f"datasets/{shown}"))
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.size == (8 * 66 - 2, 2 * 66 - 2)
    assert client.get(dataset["picture"], headers={"If-None-Match": picture.headers["ETag"]}).status_code == 304
    for model_type in ("vae", "acgan", "gan"):
        assert train(client, model_type).status_code == 202
    assert train(client, "lstm").get_json()["errors"][0]["code"] == "wrong_kind"


def test_size_and_channels_are_chosen(client: FlaskClient) -> None:
    dataset = upload(client, npz(**grey_arrays()), size="48", channels="3").get_json()

    assert dataset["image_shape"] == [3, 48, 48]


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", "30"), ("size", "12"), ("size", "132"), ("size", "²"), ("size", ""), ("channels", "4")],
)
def test_wrong_size_or_channels_are_refused(client: FlaskClient, field: str, value: str) -> None:
    response = upload(client, class_folders(), **{field: value})

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == f"/{field}"


def test_text_has_no_picture(client: FlaskClient) -> None:
    assert upload_text(client).get_json()["picture"] is None
    for name in ("dickens", "mnist", "absent"):
        assert client.get(f"/v1/datasets/{name}/picture").status_code == 404


def test_text_has_no_size(client: FlaskClient) -> None:
    response = upload_text(client, size="28")

    assert response.get_json()["errors"][0]["pointer"] == "/size"


def test_acgan_needs_two_classes_and_a_vae_does_not(client: FlaskClient) -> None:
    assert upload(client, packed({f"cat/{each}.png": encoded(noise(each)) for each in range(4)})).status_code == 201

    refused = train(client, "acgan")

    assert refused.status_code == 422
    assert "at least two classes" in refused.get_json()["detail"]
    assert train(client, "vae").status_code == 202


def test_few_test_images_are_a_warning_of_the_answer(client: FlaskClient) -> None:
    upload(client, class_folders(5))

    vae, acgan = (train(client, model_type).get_json()["warnings"] for model_type in ("vae", "acgan"))
    estimate = train(client, "acgan", dry_run=True).get_json()

    assert [warning["code"] for warning in vae + acgan] == 2 * ["few_test_images"]
    assert "There are 2 test images; the figures of the evaluation are imprecise" in vae[0]["message"]
    assert "frechet_distance, diversity, precision, recall are left out" in acgan[0]["message"]
    assert acgan[0] in estimate["warnings"]


def test_enough_test_images_give_no_warning(client: FlaskClient) -> None:
    upload(client, npz(**grey_arrays(650)))

    assert train(client, "vae").get_json()["warnings"] == []
    assert "There are 128 test images" in train(client, "acgan").get_json()["warnings"][0]["message"]


def test_steps_of_a_training_follow_from_the_training_images(client: FlaskClient) -> None:
    upload(client, class_folders(10))

    chosen = {"examples_per_epoch": None, "batch_size": 4, "epochs": 3}
    estimate = train(client, "vae", dry_run=True, hyperparameters=chosen).get_json()

    assert (estimate["steps"], estimate["examples_per_step"]) == (12, 4)


def test_published_networks_refuse_another_size_at_the_submission(client: FlaskClient) -> None:
    upload(client, class_folders(), size="32")

    refused = train(client, "acgan", preset="book")

    assert refused.status_code == 422
    assert refused.get_json()["errors"][0]["pointer"] == "/hyperparameters/network"
    assert "not 32×32; use `compact`" in refused.get_json()["detail"]


def test_images_are_replaced_described_and_deleted(
    client: FlaskClient, storage: Storage, database: SessionFactory
) -> None:
    before = upload(client, class_folders()).get_json()
    old = next(storage.list_names("datasets"))

    after = upload(client, class_folders(7, mode="L"), "PUT").get_json()

    assert (after["version"], after["examples"], after["image_shape"]) == (2, 14, [1, 28, 28])
    assert after["sha256"] != before["sha256"]
    assert due(database) == [f"datasets/{old}".rpartition("/")[0]]
    described = client.patch("/v1/datasets/pets", json={"description": "grey"})
    assert described.get_json()["description"] == "grey"
    assert client.delete("/v1/datasets/pets").status_code == 204
    assert len(due(database)) == 2
    assert client.get("/v1/datasets/pets").status_code == 404


def test_replacement_of_another_kind_is_refused(client: FlaskClient) -> None:
    upload(client, class_folders())
    upload_text(client)

    wrong = upload(client, b"a text " * 100, "PUT", kind="text")
    other = upload(client, class_folders(), "PUT", name="dickens", kind="images")

    for response in (wrong, other):
        assert (response.status_code, response.get_json()["errors"][0]["code"]) == (422, "wrong_kind")
    assert client.get("/v1/datasets/pets").get_json()["version"] == 1


def test_images_that_an_unfinished_job_uses_are_kept(client: FlaskClient) -> None:
    upload(client, class_folders())
    train(client, "vae")

    assert upload(client, class_folders(6), "PUT").status_code == 409
    assert client.delete("/v1/datasets/pets").status_code == 409


def test_refused_upload_names_the_file_and_leaves_nothing(
    client: FlaskClient, settings: Settings, storage: Storage, database: SessionFactory
) -> None:
    def files() -> list[Path]:
        return sorted(path for path in settings.home_path.rglob("*") if not path.name.startswith("mimeo.db"))

    before = files()

    response = upload(client, class_folders(bad=b"no picture"))

    assert response.status_code == 422
    [error] = response.get_json()["errors"]
    assert (error["pointer"], error["code"]) == ("/file", "unreadable_image")
    assert "pets/cat/bad.png" in error["detail"]
    assert files() == before
    assert list(storage.list_names("datasets", unfinished=True)) == []
    assert client.get("/v1/datasets/pets").status_code == 404


def test_archive_over_the_limit_is_413(settings: Settings, client: FlaskClient) -> None:
    small = create_app(settings.model_copy(update={"max_upload_bytes": 1000}), broker=NullBroker())

    response = upload(small.test_client(), class_folders())

    small.extensions["mimeo"].close()
    assert response.status_code == 413


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A copy with up to 8 bytes changed, a stretch removed, doubled or zeroed, or the end cut off."""
    made = bytearray(data)
    start = chance.randrange(len(made))
    stretch = slice(start, start + chance.randrange(1, 200))
    match chance.randrange(5):
        case 0:
            for _ in range(chance.randint(1, 8)):
                made[chance.randrange(len(made))] = chance.randrange(256)
        case 1:
            del made[stretch]
        case 2:
            made[start:start] = made[stretch]
        case 3:
            made[stretch] = bytes(len(made[stretch]))
        case _:
            del made[start:]
    return bytes(made)


@pytest.mark.slow_on_postgresql
def test_100_mutations_of_a_good_archive_are_answered_and_leave_no_file(
    client: FlaskClient, settings: Settings, storage: Storage, database: SessionFactory
) -> None:
    turned = encoded(noise(1, mode="CMYK"), "JPEG")
    good = [class_folders(2, odd=turned), npz(**grey_arrays())]
    accepted = 0
    for seed in range(100):
        chance = random.Random(seed)
        response = upload(client, mutated(good[seed % 2], chance))
        assert response.status_code in {201, 422}, (seed, response.get_json())
        if response.status_code == 201:
            accepted += 1
            assert len(list(storage.list_names("datasets", unfinished=True))) == 2
            client.delete("/v1/datasets/pets")
            with transaction(database) as session:
                for folder in pending_deletions.due(session, 10):
                    storage.delete_tree(folder)
                    pending_deletions.forget(session, folder)
        else:
            assert response.get_json()["errors"][0]["pointer"] == "/file", (seed, response.get_json())
        assert list(storage.list_names("datasets", unfinished=True)) == [], seed
    with transaction(database) as session:
        assert session.query(PendingDeletion).count() == 0
    assert [path for path in Path(settings.home_path).rglob("*") if path.suffix in {".tmp", ".tar", ".zip"}] == []
    assert 0 < accepted < 100
