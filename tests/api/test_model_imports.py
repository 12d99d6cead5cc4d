"""Models from files: what is accepted, and each refusal with its sentence."""

import io
import json
import random
import struct
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from api.app import create_app
from shared.broker import NullBroker
from shared.db.session import SessionFactory, reading
from shared.db.tables import Checkpoint, Job, Model, PendingDeletion
from shared.settings import Settings
from shared.storage import Storage
from tests.api.test_models import train
from tests.api.worker_hands import WorkerWrites
from tests.model_files import Tensors, config, model_file, packed, tensors
from worker.sweeper import Sweeper

pytestmark = pytest.mark.slow_on_postgresql
MUTATIONS = 100


def send(client: FlaskClient, data: bytes, **fields: str) -> TestResponse:
    form = {**fields, "file": (io.BytesIO(data), "model.safetensors")}
    return client.post("/v1/models", data=form, content_type="multipart/form-data")


@pytest.mark.parametrize("model_type", ["lstm", "vae", "acgan", "gan"])
def test_imported_model_is_listed_exported_byte_for_byte_and_generated_from(
    client: FlaskClient, storage: Storage, model_type: str
) -> None:
    data = model_file(model_type)

    answer = send(client, data, name="of another server", dataset="mine")
    model = answer.get_json()

    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/models/{model['id']}")
    assert (model["name"], model["dataset"], model["source"]) == ("of another server", "mine", "imported")
    assert (model["training_job"], model["urls"]["training_job"]) == (None, None)
    assert client.get("/v1/models").get_json()["data"] == [model]
    assert client.get(f"/v1/models/{model['id']}/export").data == data
    assert client.get("/v1/training-jobs").get_json()["data"] == []
    for reference in (model["id"], model["checkpoint"]["id"]):
        job = client.post("/v1/generation-jobs", json={"model": reference})
        assert job.status_code == 202
        assert job.get_json()["model"] == model["id"]


def test_origin_in_the_file_is_shown(client: FlaskClient) -> None:
    training = {"command": "make pretrained", "seed": 3}
    about = {"dataset": "mnist", "license": "CC", "training": training, "step": 9, "quality": {"elbo": -3.5, "x": 1}}
    model = send(client, model_file("vae", about={**about, "versions": {"torch": "2.13"}})).get_json()

    assert (model["dataset"], model["quality"], model["checkpoint"]["step"]) == ("mnist", {"elbo": -3.5}, 9)
    assert model["about"] == {"license": "CC", "training": training, "versions": {"torch": "2.13"}}
    assert model["versions"] == {"torch": "2.13"}
    assert send(client, model_file("vae")).get_json()["dataset"] == "unknown"


def test_half_precision_is_accepted(client: FlaskClient) -> None:
    made = config("vae")
    halves = {
        name: ("F16", shape, struct.pack(f"<{len(data) // 4}e", *struct.unpack(f"<{len(data) // 4}f", data)))
        for name, (_, shape, data) in tensors("vae", made).items()
    }
    assert send(client, packed(halves, {"model_type": "vae", "config": made})).status_code == 201


# --- refusals ---------------------------------------------------------------------------------------------------


def changed(change: Callable[[Tensors, dict[str, Any]], object], model_type: str = "vae") -> bytes:
    """A file whose tensors and metadata were changed before it was written."""
    made = config(model_type)
    found = tensors(model_type, made)
    about = {"model_type": model_type, "config": made}
    change(found, about)
    return packed(found, about)


def with_value(value: float) -> Callable[[Tensors, Mapping[str, Any]], None]:
    def change(found: Tensors, _about: Mapping[str, Any]) -> None:
        dtype, shape, data = found["decoder.2.bias"]
        found["decoder.2.bias"] = (dtype, shape, data[:-4] + struct.pack("<f", value))

    return change


def hyperparameter(name: str, value: object) -> Callable[[Tensors, dict[str, Any]], None]:
    return lambda _found, about: about["config"]["hyperparameters"].update({name: value})


GOOD = model_file("vae")
HEADER = int.from_bytes(GOOD[:8], "little")
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a complete safetensors file"),
    "text": (b"To be, or not to be, that is the question", "not a complete safetensors file"),
    "pickle": (b"\x80\x02}q\x00X\x05\x00\x00\x00modelq\x01" + bytes(40), "a pickle"),
    "torch.save": (b"PK\x03\x04" + bytes(60), "a pickle"),
    "header cut off": (GOOD[: HEADER // 2], "not a complete safetensors file"),
    "tensors cut off": (GOOD[:-10], "cut off"),
    "something behind the tensors": (GOOD + b"x" * 8, "longer than its tensors"),
    "header of another format": (GOOD[:8] + b"[" + GOOD[9:], "not a safetensors file"),
    "header without JSON": (GOOD[:8] + b"{" * HEADER + GOOD[8 + HEADER :], "not valid JSON"),
    "another program's file": (packed({"w": ("F32", [1], bytes(4))}, None), "does not name a model of Mimeo"),
    "unknown model type": (changed(lambda _, about: about.update(model_type="diffusion")), "types lstm, vae"),
    "no configuration": (changed(lambda _, about: about.pop("config")), "lacks the `config`"),
    "unknown hyperparameter": (changed(hyperparameter("flash", 1)), "hyperparameters.flash"),
    "absurd size": (changed(hyperparameter("hidden", [10**9])), "hyperparameters.hidden"),
    "other size": (changed(hyperparameter("hidden", [7])), "encoder.0.weight is [6, 64], expected: [7, 64]"),
    "image too large": (
        changed(lambda _, about: about["config"].update(image_shape=[1, 10**6, 10**6])),
        "image_shape",
    ),
    "missing tensor": (changed(lambda found, _: found.pop("encoder.0.bias")), "encoder.0.bias is missing"),
    "additional tensor": (
        changed(lambda found, _: found.update(extra=("F32", [1], bytes(4)))),
        "extra is [1], expected: no tensor of this model",
    ),
    "other numbers": (
        changed(lambda found, _: found.update({"encoder.0.bias": ("I32", [6], bytes(24))})),
        "numbers of the type I32",
    ),
    "NaN": (changed(with_value(float("nan"))), "not finite"),
    "infinity": (changed(with_value(float("-inf"))), "not finite"),
    "character twice": (
        changed(lambda _, about: about["config"].update(vocabulary="aa"), "lstm"),
        "a character is twice",
    ),
    "seed text of other characters": (
        changed(lambda _, about: about["config"].update(seed_text="€"), "lstm"),
        "not in the vocabulary",
    ),
    "odd image size": (
        changed(lambda _, about: about["config"].update(image_shape=[1, 9, 9]), "gan"),
        "multiples of 4",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_file_is_refused_with_its_sentence_and_leaves_nothing(
    client: FlaskClient, database: SessionFactory, storage: Storage, name: str
) -> None:
    data, sentence = REFUSED[name]
    answer = send(client, data)

    assert answer.status_code == 422, answer.get_json()
    [error] = answer.get_json()["errors"]
    assert error["pointer"] == "/file"
    assert sentence in error["detail"]
    nothing_is_left(database, storage)


def nothing_is_left(database: SessionFactory, storage: Storage) -> None:
    with reading(database) as session:
        for table in (Job, Checkpoint, Model, PendingDeletion):
            assert list(session.scalars(select(table))) == []
    assert [*storage.list_names("jobs", unfinished=True)] == []


def test_largest_file_is_bounded(settings: Settings, database: SessionFactory) -> None:
    small = settings.model_copy(update={"max_upload_bytes": 1000})
    answer = send(create_app(small, broker=NullBroker()).test_client(), bytes(1001))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("fields", "pointer"), [({"name": ""}, "/name"), ({"dataset": "../x"}, "/dataset"), ({"kind": "text"}, "/kind")]
)
def test_bad_field_is_named(client: FlaskClient, fields: dict[str, str], pointer: str) -> None:
    answer = send(client, GOOD, **fields)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.get_json()["errors"]] == [pointer]


def test_dataset_of_another_kind_is_refused(client: FlaskClient) -> None:
    answer = send(client, GOOD, dataset="shakespeare")
    assert (answer.status_code, answer.get_json()["errors"][0]["pointer"]) == (422, "/dataset")


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The file with some bytes changed, removed, repeated or inserted; half of the changes are in the header."""
    found = bytearray(data)
    header = 8 + int.from_bytes(data[:8], "little")
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(header if chance.random() < 0.5 else len(found))
        length = chance.choice((1, 1, 2, 16))
        match chance.randrange(4):
            case 0:
                found[place : place + length] = chance.randbytes(length)
            case 1:
                del found[place : place + length]
            case 2:
                found[place:place] = found[place : place + length]
            case _:
                found[place : place + 1] = chance.choice((b"-0", b"9", b'"', b"\\ud800", b"\x00", b"NaN", b"[[[["))
    return bytes(found)


@pytest.mark.parametrize("model_type", ["lstm", "acgan"])
def test_mutated_files_are_accepted_or_refused_and_leave_nothing_else(
    client: FlaskClient, database: SessionFactory, storage: Storage, model_type: str
) -> None:
    chance = random.Random(19)
    data = model_file(model_type)
    statuses: dict[int, int] = {}
    for _ in range(MUTATIONS // 2):
        answer = send(client, mutated(chance, data))
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        if answer.status_code == 201:
            assert client.delete(f"/v1/models/{answer.get_json()['id']}").status_code == 204
    assert statuses.keys() <= {201, 422}
    assert statuses[422] > MUTATIONS // 5
    with reading(database) as session:
        due = set(session.scalars(select(PendingDeletion.storage_key)))
        assert list(session.scalars(select(Model))) == []
    left = {f"jobs/{name.split('/')[0]}" for name in storage.list_names("jobs", unfinished=True)}
    assert left <= due


# --- deletion ---------------------------------------------------------------------------------------------------


def test_imported_model_is_deleted_with_its_files(
    client: FlaskClient, settings: Settings, database: SessionFactory, storage: Storage
) -> None:
    model = send(client, GOOD).get_json()["id"]
    assert [*storage.list_names("jobs")] != []

    assert client.delete(f"/v1/models/{model}").status_code == 204
    Sweeper(settings, database, storage).round()

    assert client.get(f"/v1/models/{model}").status_code == 404
    assert client.delete(f"/v1/models/{model}").status_code == 404
    assert [*storage.list_names("jobs")] == []


def test_model_is_not_deleted_while_a_job_needs_it_or_while_it_has_a_training_job(
    client: FlaskClient, worker: WorkerWrites
) -> None:
    imported = send(client, GOOD).get_json()["id"]
    job = client.post("/v1/generation-jobs", json={"model": imported}).get_json()["id"]
    trained = train(client, worker)

    needed, of_a_job = client.delete(f"/v1/models/{imported}"), client.delete(f"/v1/models/{trained}")

    assert (needed.status_code, of_a_job.status_code) == (409, 409)
    assert job in needed.get_json()["detail"]
    assert "training job trn_" in of_a_job.get_json()["detail"]


def test_training_starts_from_an_imported_model(client: FlaskClient) -> None:
    made = config("vae", latent_size=2) | {"image_shape": [1, 28, 28]}
    data = packed(tensors("vae", made), {"model_type": "vae", "config": made})
    model = send(client, data).get_json()
    request = {"model_type": "vae", "dataset": "mnist", "hyperparameters": {"hidden": [6]}}

    for reference in (model["id"], model["checkpoint"]["id"]):
        assert client.post("/v1/training-jobs", json={**request, "init_from": reference}).status_code == 202
    other = client.post("/v1/training-jobs", json={**request, "hyperparameters": {}, "init_from": model["id"]})
    assert other.get_json()["errors"][0]["pointer"] == "/hyperparameters/hidden"


def test_import_is_no_job_of_lists_streams_or_metrics(client: FlaskClient) -> None:
    send(client, GOOD)
    assert client.get("/v1/training-jobs").get_json()["data"] == []
    assert client.get("/v1/generation-jobs").get_json()["data"] == []
    assert "import" not in client.get("/metrics").get_data(as_text=True)
    assert json.loads(client.get("/v1/storage").data)["used"]["checkpoint"] == len(GOOD)
