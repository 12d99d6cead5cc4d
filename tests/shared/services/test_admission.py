"""Checks of requests that need the registries, the database or the machine."""

import json
from typing import Any

import pytest

from shared import model_types
from shared.db.session import SessionFactory, transaction
from shared.db.tables import Checkpoint
from shared.errors import SpecError
from shared.ids import new_id
from shared.services import admission, generation_jobs, training_jobs
from shared.settings import Settings
from shared.specs import parse_generation, parse_training
from shared.storage import Storage
from tests import jobs
from tests.uploads import uploaded

TEXT = b"To be, or not to be, that is the question. " * 40


def refused(database: SessionFactory, settings: Settings, **body: Any) -> tuple[str, str]:
    """Pointer and detail of the only error in a training request."""
    with pytest.raises(SpecError) as caught, transaction(database) as session:
        training_jobs.submit(session, parse_training(body), settings=settings)
    [error] = caught.value.errors
    return error.pointer, error.detail


def refused_generation(database: SessionFactory, settings: Settings, **body: Any) -> tuple[str, str]:
    with pytest.raises(SpecError) as caught, transaction(database) as session:
        generation_jobs.submit(session, parse_generation(body), settings=settings)
    [error] = caught.value.errors
    return error.pointer, error.detail


def checkpointed(
    database: SessionFactory, settings: Settings, *, config: dict[str, Any] | None = None, **body: Any
) -> tuple[str, str]:
    """Ids of a training job and of its checkpoint."""
    job_id = jobs.submitted(database, settings, **body)
    row = Checkpoint(
        id=new_id("ckp"),
        job_id=job_id,
        epoch=1,
        step=5,
        storage_key=f"jobs/{job_id}/checkpoints/00000005",
        sha256="0" * 64,
        size=1,
        is_best=True,
        config=config,
    )
    with transaction(database) as session:
        session.add(row)
    return job_id, row.id


def test_job_stores_all_resolved_values(database: SessionFactory, settings: Settings) -> None:
    body = {"model_type": "vae", "preset": "book", "hyperparameters": {"epochs": 3}, "metadata": {"team": "a"}}
    with transaction(database) as session:
        job = training_jobs.submit(session, parse_training(body), settings=settings)

    assert job.spec["dataset"] == "fashion-mnist"
    assert job.spec["preset"] == "book"
    assert job.spec["hyperparameters"]["epochs"] == 3
    assert job.spec["hyperparameters"]["batch_size"] == 256
    assert job.spec["init_from"] is None
    assert job.labels == {"team": "a"}
    assert 0 <= job.seed < 2**31


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"model_type": "vea"}, "/model_type", "vae"),
        ({"model_type": "vae", "preset": "bok"}, "/preset", 'Did you mean "book"?'),
        ({"model_type": "vae", "dataset": "fashon-mnist"}, "/dataset", 'Did you mean "fashion-mnist"?'),
        ({"model_type": "vae", "dataset": "shakespeare"}, "/dataset", "learns from images; shakespeare is text"),
        ({"model_type": "lstm", "dataset": "mnist"}, "/dataset", "learns from text; mnist is images"),
        ({"model_type": "vae", "dataset": "a\u2028b"}, "/dataset", "There is no dataset"),
        ({"model_type": "vae", "hyperparameters": {"epoch": 1}}, "/hyperparameters/epoch", 'Did you mean "epochs"?'),
        ({"model_type": "vae", "hyperparameters": {"epochs": 0}}, "/hyperparameters/epochs", "greater than or equal"),
        ({"model_type": "vae", "init_from": "mdl_" + "0" * 26}, "/init_from", "There is no model"),
        ({"model_type": "vae", "init_from": "ckp_" + "0" * 26}, "/init_from", "There is no checkpoint"),
    ],
)
def test_invalid_training_request_is_refused_with_a_pointer_and_a_remedy(
    database: SessionFactory, settings: Settings, body: dict[str, Any], pointer: str, words: str
) -> None:
    at, detail = refused(database, settings, **body)
    assert at == pointer
    assert words in detail


def test_job_that_needs_more_memory_than_a_worker_has_is_refused_with_the_estimate(
    database: SessionFactory, settings: Settings
) -> None:
    small = settings.model_copy(update={"worker_memory_bytes": 64 << 20})
    huge = {"hidden": [8192, 8192, 8192], "batch_size": 16384}

    at, detail = refused(database, small, model_type="vae", dataset="digits", hyperparameters=huge)

    assert at == "/hyperparameters"
    assert "GiB of memory and a worker has 0.06 GiB" in detail


def test_default_memory_limit_is_the_machine_s_memory(settings: Settings) -> None:
    assert admission.memory_limit(settings) > 256 << 20
    assert admission.memory_limit(settings.model_copy(update={"worker_memory_bytes": 7})) == 7


def test_uploaded_text_can_be_trained_on(database: SessionFactory, settings: Settings, storage: Storage) -> None:
    uploaded(database, storage, "hamlet", TEXT)

    with transaction(database) as session:
        request = parse_training({"model_type": "lstm", "dataset": "hamlet"})
        assert training_jobs.submit(session, request, settings=settings).spec["dataset"] == "hamlet"
    at, detail = refused(database, settings, model_type="lstm", dataset="hamlot")
    assert (at, detail) == ("/dataset", 'There is no dataset "hamlot". Did you mean "hamlet"?')
    assert refused(database, settings, model_type="vae", dataset="hamlet")[0] == "/dataset"


def test_job_can_start_from_a_checkpoint_of_its_model_type(database: SessionFactory, settings: Settings) -> None:
    _, checkpoint = checkpointed(database, settings)

    job_id = jobs.submitted(database, settings, init_from=checkpoint)

    assert jobs.read_job(database, job_id).spec["init_from"] == {"id": checkpoint, "checkpoint_id": checkpoint}
    at, detail = refused(database, settings, model_type="acgan", dataset="digits", init_from=checkpoint)
    assert (at, detail) == ("/init_from", f"{checkpoint} is a vae; this job trains a acgan.")


def test_generation_resolves_its_checkpoint(database: SessionFactory, settings: Settings) -> None:
    job_id, checkpoint = checkpointed(database, settings)
    for reference in (job_id, checkpoint):
        spec = jobs.read_job(database, jobs.generated(database, settings, model=reference)).spec
        assert (spec["model"], spec["checkpoint_id"], spec["format"]) == (reference, checkpoint, "png")
        assert spec["sampling"]["mode"] == "random"


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"format": "jpeg"}, "/format", "png, npy"),
        ({"sampling": {"mode": "gird"}}, "/sampling/mode", "grid"),
        ({"sampling": {"mode": "grid", "pionts": 3}}, "/sampling/pionts", 'Did you mean "points"?'),
        ({"sampling": {"n": 0}}, "/sampling/n", "greater than or equal"),
        ({"sampling": {"mode": "latent", "z": [1.0, 2.0, 3.0]}}, "/sampling/z", "2 numbers"),
    ],
)
def test_invalid_generation_request_is_refused_with_a_pointer_and_a_remedy(
    database: SessionFactory, settings: Settings, changes: dict[str, Any], pointer: str, words: str
) -> None:
    _, checkpoint = checkpointed(database, settings)
    at, detail = refused_generation(database, settings, model=checkpoint, **changes)
    assert at == pointer
    assert words in detail


def test_training_job_without_a_checkpoint_cannot_be_sampled(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings)
    assert "no checkpoint yet" in refused_generation(database, settings, model=job_id)[1]
    for unknown in ("mdl_" + "0" * 26, "ckp_" + "0" * 26, "trn_" + "0" * 26):
        assert "There is no" in refused_generation(database, settings, model=unknown)[1]


@pytest.mark.parametrize(
    ("model_type", "trained", "wanted", "names"),
    [
        ("lstm", {}, {"layers": [128]}, ["layers"]),
        ("lstm", {"layers": [32, 16]}, {"layers": [32], "embedding": 0}, ["embedding", "layers"]),
        ("vae", {}, {"hidden": [64], "latent_size": 3}, ["hidden", "latent_size"]),
        ("acgan", {}, {"width": 8}, ["width"]),
        ("gan", {"latent_size": 7}, {}, ["latent_size"]),
    ],
)
def test_weights_of_another_size_are_refused_with_each_hyperparameter_and_both_values(
    database: SessionFactory,
    settings: Settings,
    model_type: str,
    trained: dict[str, Any],
    wanted: dict[str, Any],
    names: list[str],
) -> None:
    body: dict[str, Any] = {"model_type": model_type, "dataset": model_types.get(model_type).fallback_dataset}
    _, checkpoint = checkpointed(database, settings, **body, hyperparameters=trained)

    request = parse_training({**body, "hyperparameters": wanted, "init_from": checkpoint})
    with pytest.raises(SpecError) as caught, transaction(database) as session:
        training_jobs.submit(session, request, settings=settings)

    assert sorted(error.pointer for error in caught.value.errors) == [f"/hyperparameters/{name}" for name in names]
    contract = model_types.get(model_type)
    before, now = (contract.resolve("fast", values).model_dump(mode="json") for values in (trained, wanted))
    for error in caught.value.errors:
        name = error.pointer.rpartition("/")[2]
        assert f"{name} = {before[name]}, and this job has {now[name]}" in error.detail


def test_hyperparameters_that_no_weight_depends_on_may_differ(database: SessionFactory, settings: Settings) -> None:
    _, checkpoint = checkpointed(database, settings, **TEXT_JOB, config={"vocabulary": "ab"})
    other = {"window": 65, "batch_size": 4, "dropout": 0.5, "optimizer": "rmsprop", "batching": "windows"}
    assert jobs.submitted(database, settings, **TEXT_JOB, hyperparameters=other, init_from=checkpoint)


def test_weights_for_images_of_another_size_are_refused_at_the_dataset(
    database: SessionFactory, settings: Settings
) -> None:
    _, checkpoint = checkpointed(database, settings, model_type="vae", dataset="fashion-mnist")
    at, detail = refused(database, settings, model_type="vae", dataset="cifar10", init_from=checkpoint)
    assert at == "/dataset"
    assert "images of 1×28×28, and this dataset has 3×32×32" in detail
    assert jobs.submitted(database, settings, model_type="vae", dataset="mnist", init_from=checkpoint)


def test_image_size_of_the_checkpoint_counts_and_not_that_of_the_name_of_its_dataset(
    database: SessionFactory, settings: Settings
) -> None:
    _, checkpoint = checkpointed(database, settings, dataset="digits", config={"image_shape": [3, 28, 28]})
    at, detail = refused(database, settings, model_type="vae", dataset="digits", init_from=checkpoint)
    assert (at, "images of 3×28×28" in detail) == ("/dataset", True)


TEXT_JOB: dict[str, Any] = {"model_type": "lstm", "dataset": "python-source"}
ALPHABET = "\n abcdeßx"
COMBINING = ALPHABET + "\u0301"


@pytest.mark.parametrize(
    ("sampling", "pointer", "words"),
    [
        ({"prompt": "abc\u00e9"}, "/sampling/prompt", "U+00E9 (é)"),
        ({"prompt": "a\U0001f600\t"}, "/sampling/prompt", "U+0009, U+1F600 (😀)"),
        ({"stop": ["ab", "Z"]}, "/sampling/stop/1", "U+005A (Z)"),
    ],
)
def test_characters_that_the_model_does_not_have_are_refused_by_code_point(
    database: SessionFactory, settings: Settings, sampling: dict[str, Any], pointer: str, words: str
) -> None:
    job_id, checkpoint = checkpointed(database, settings, **TEXT_JOB, config={"vocabulary": ALPHABET})
    for reference in (checkpoint, job_id):
        at, detail = refused_generation(database, settings, model=reference, sampling=sampling)
        assert at == pointer
        assert words in detail


def test_another_normal_form_of_the_prompt_that_the_model_has_is_named(
    database: SessionFactory, settings: Settings
) -> None:
    _, checkpoint = checkpointed(database, settings, **TEXT_JOB, config={"vocabulary": COMBINING})
    at, detail = refused_generation(database, settings, model=checkpoint, sampling={"prompt": "ca\u00e9"})
    assert at == "/sampling/prompt"
    assert "U+00E9 (é)" in detail
    assert "normal form NFD" in detail


def test_prompt_and_stop_strings_get_unix_line_ends(database: SessionFactory, settings: Settings) -> None:
    _, checkpoint = checkpointed(database, settings, **TEXT_JOB, config={"vocabulary": ALPHABET})
    sampling = {"prompt": "\ufeffa\r\nb\rc", "stop": ["\r\n\r\n"]}

    job_id = jobs.generated(database, settings, model=checkpoint, sampling=sampling)

    stored = jobs.read_job(database, job_id).spec["sampling"]
    assert (stored["prompt"], stored["stop"]) == ("a\nb\nc", ["\n\n"])


def test_configuration_of_an_earlier_version_s_checkpoint_is_read_once_from_its_manifest(
    database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    # Given: a row without a configuration, and its manifest in storage
    job_id, checkpoint = checkpointed(database, settings, **TEXT_JOB)
    manifest = {"format": 1, "config": {"vocabulary": "ab", "hyperparameters": {"layers": [1]}}}
    key = f"jobs/{job_id}/checkpoints/00000005"
    storage.put_bytes(json.dumps(manifest).encode(), f"{key}/manifest.json")

    assert jobs.generated(database, settings, model=checkpoint, sampling={"prompt": "ab"})
    storage.delete_tree(key)

    # Then: the next request does not need it
    at, _ = refused_generation(database, settings, model=checkpoint, sampling={"prompt": "c"})
    assert at == "/sampling/prompt"


@pytest.mark.parametrize("content", [None, b"{", b"[]", b'{"config": 3}'])
def test_request_is_accepted_where_the_manifest_cannot_be_read(
    database: SessionFactory, settings: Settings, storage: Storage, content: bytes | None
) -> None:
    job_id, checkpoint = checkpointed(database, settings, **TEXT_JOB)
    if content is not None:
        storage.put_bytes(content, f"jobs/{job_id}/checkpoints/00000005/manifest.json")
    assert jobs.generated(database, settings, model=checkpoint, sampling={"prompt": "c"})
