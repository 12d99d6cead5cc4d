"""Previews of datasets."""

import base64
import gzip
import io
import json
from collections import Counter
from typing import Any

from flask.testing import FlaskClient

from api.app import create_app
from shared.broker import NullBroker
from shared.datasets import REGISTRY, builtin
from shared.db.session import SessionFactory
from shared.settings import Settings

TEXT = "The café — “naïve” — is open. 図書館 today!\r\n" * 30


def preview(client: FlaskClient, name: str, **query: Any) -> dict[str, Any]:
    response = client.get(f"/v1/datasets/{name}/preview", query_string=query)
    assert response.status_code == 200, response.get_json()
    found: dict[str, Any] = response.get_json()
    return found


def upload(client: FlaskClient) -> None:
    form = {"name": "cafe", "kind": "text", "file": (io.BytesIO(TEXT.encode()), "cafe.txt")}
    assert client.post("/v1/datasets", data=form, content_type="multipart/form-data").status_code == 201


def test_text_has_an_excerpt_and_its_characters_with_counts(client: FlaskClient) -> None:
    upload(client)
    stored = TEXT.replace("\r\n", "\n")

    text = preview(client, "cafe", length=100)["text"]

    assert (text["offset"], text["excerpt"]) == (0, stored[:100])
    assert (text["counted"], text["size"]) == (len(stored), len(stored.encode()))
    assert {each["character"]: each["count"] for each in text["characters"]} == Counter(stored)


def test_passage_starts_at_a_whole_character_wherever_it_is_cut(client: FlaskClient) -> None:
    upload(client)
    data = TEXT.replace("\r\n", "\n").encode()

    for offset in range(90):
        text = preview(client, "cafe", offset=offset, length=7)["text"]
        assert text["offset"] - offset < 4
        assert data[text["offset"] :].decode().startswith(text["excerpt"])
        assert len(text["excerpt"]) == 7


def test_random_passage_depends_on_its_seed_alone(client: FlaskClient) -> None:
    passages = {preview(client, "python-source", seed=seed, length=80)["text"]["excerpt"] for seed in range(20)}
    again = preview(client, "python-source", seed=7, length=80)["text"]["excerpt"]

    assert len(passages) == 20
    assert again in passages
    assert all(passage in builtin.python_source() for passage in passages)


def test_offset_behind_the_end_names_the_size(client: FlaskClient) -> None:
    upload(client)

    response = client.get("/v1/datasets/cafe/preview?offset=1000000")

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == "?offset"


def test_digits_are_shown_by_class_as_training_sees_them(client: FlaskClient) -> None:
    from worker.data.digits import builtin_digits

    digits = builtin_digits()
    images = preview(client, "digits", limit=3)["images"]
    pixels = base64.b64decode(images["pixels"])

    assert (images["channels"], images["height"], images["width"]) == (1, 28, 28)
    assert images["labels"] == [label for label in range(10) for _ in range(3)]
    assert [each["count"] for each in images["classes"]] == digits.train_labels.bincount().tolist()
    for place, index in enumerate(images["indices"]):
        shown = pixels[place * 784 : (place + 1) * 784]
        assert digits.train_labels[index] == images["labels"][place]
        trained = bytes(digits.train_images[index].flatten().tolist())
        assert max(abs(a - b) for a, b in zip(shown, trained, strict=True)) <= 1  # rounding in another order


def test_images_of_one_class_continue_by_offset_and_are_shuffled_by_seed(client: FlaskClient) -> None:
    first, second = (
        preview(client, "digits", part="test", label=7, limit=5, offset=offset)["images"] for offset in (0, 5)
    )
    shuffled = preview(client, "digits", part="test", label=7, limit=200, seed=1)["images"]
    whole = preview(client, "digits", part="test", label=7, limit=200)["images"]

    assert (first["indices"] + second["indices"]) == whole["indices"][:10]
    assert set(whole["labels"]) == {7}
    assert sorted(shuffled["indices"]) == whole["indices"] != shuffled["indices"]


def test_unknown_class_is_refused_with_the_number_of_classes(client: FlaskClient) -> None:
    response = client.get("/v1/datasets/digits/preview?label=10")

    assert response.status_code == 422
    assert "10 classes" in response.get_json()["detail"]


def test_absent_datasets_say_what_to_do(settings: Settings, database: SessionFactory, client: FlaskClient) -> None:
    absent = client.get("/v1/datasets/mnist/preview")
    offline = settings.model_copy(update={"offline": True})
    app = create_app(offline, broker=NullBroker())
    missing = app.test_client().get("/v1/datasets/svhn/preview")
    app.extensions["mimeo"].close()

    assert (absent.status_code, missing.status_code) == (409, 409)
    assert "first training" in absent.get_json()["detail"]
    assert "train_32x32.mat" in missing.get_json()["detail"]
    assert client.get("/v1/datasets/absent/preview").status_code == 404


def test_idx_files_are_shown_before_they_are_prepared(settings: Settings, client: FlaskClient) -> None:
    """EMNIST stores images transposed and labels from 1."""
    paths = [settings.downloads_path / file for file in REGISTRY["emnist-letters"].files]
    image = bytes(range(256)) * 3 + bytes(16)
    for path, count in zip(paths, (4, 4, 2, 2), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        is_images = "images" in path.name
        header = (0x803, count, 28, 28) if is_images else (0x801, count)
        body = image * count if is_images else bytes(range(1, count + 1))
        path.write_bytes(b"".join(value.to_bytes(4, "big") for value in header) + body)

    images = preview(client, "emnist-letters", label=2)["images"]

    assert (images["indices"], images["labels"]) == ([2], [2])
    assert images["classes"][2] == {"label": 2, "name": "c", "count": 1}
    pixels = base64.b64decode(images["pixels"])
    places = [(x, y) for x in range(28) for y in range(28)]
    assert [pixels[28 * x + y] for x, y in places] == [image[28 * y + x] for x, y in places]


def test_prepared_images_in_colour_are_read_at_their_place(settings: Settings, client: FlaskClient) -> None:
    folder = settings.downloads_path / "prepared"
    folder.mkdir(parents=True)
    (folder / "cifar10-v1-0123456789ab.safetensors").write_bytes(_prepared())

    images = preview(client, "cifar10", part="test", label=3)["images"]

    assert (images["channels"], images["indices"]) == (3, [1])
    assert base64.b64decode(images["pixels"]) == bytes([12]) * 12


def test_damaged_prepared_file_is_a_problem_and_not_a_traceback(settings: Settings, client: FlaskClient) -> None:
    folder = settings.downloads_path / "prepared"
    folder.mkdir(parents=True)
    (folder / "cifar10-v1-0123456789ab.safetensors").write_bytes(gzip.compress(b"not a prepared file"))

    response = client.get("/v1/datasets/cifar10/preview")

    assert response.status_code == 500
    assert response.get_json()["code"] == "damaged"


def _prepared() -> bytes:
    """A prepared file of 2 images of 3×2×2 pixels in each part, with labels 3 in the end."""
    parts = {
        "train_images": ("U8", [2, 3, 2, 2], bytes([1] * 12 + [2] * 12)),
        "train_labels": ("I64", [2], b"".join(label.to_bytes(8, "little") for label in (0, 3))),
        "test_images": ("U8", [2, 3, 2, 2], bytes([11] * 12 + [12] * 12)),
        "test_labels": ("I64", [2], b"".join(label.to_bytes(8, "little") for label in (0, 3))),
    }
    header: dict[str, Any] = {"__metadata__": {"mimeo": json.dumps({"class_names": list("abcd")})}}
    body = b""
    for name, (dtype, shape, data) in parts.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body
