"""The programs of processes that tests kill: one request, one task, one round, one run, with the real parts.

Each function is a whole program for a child process. None of them needs Redis. The trainer is the one without a model,
except in `train`.
"""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from api import dataset_uploads
from api.app import create_app
from api.runtime import EXTENSION
from api.upload_form import UploadForm
from migrations import runner
from shared import failpoints, model_types
from shared.broker import NullBroker
from shared.db.session import make_engine, session_factory
from shared.db.tables import UploadedDataset
from shared.errors import Conflict
from shared.job_status import JobKind
from shared.services.uploaded_datasets import NewUpload
from shared.settings import Settings
from shared.storage import Storage
from tests.model_files import model_file
from tests.pictures import class_folders
from tests.waiting import PATIENCE_S
from tests.worker.attempts.harness import behaving
from tests.worker.trainer import harness, toy
from worker.attempts.open_generations import OpenGenerations
from worker.context import WorkerContext
from worker.generation.engine import GenerationEngine
from worker.generation.output import GenerationOutput, OutputFile
from worker.ready_models import ReadyModels
from worker.reconciler import Reconciler
from worker.sweeper import Sweeper
from worker.tasks import training
from worker.tasks.generation import run_first
from worker.worker_heartbeat import WorkerHeartbeat

JOB = {"model_type": "vae", "dataset": "digits", "seed": 7}
TEXT = b"It was the best of times, it was the worst of times. " * 40
OTHER_TEXT = b"Call me Ishmael. Some years ago - never mind how long precisely. " * 40
MODEL = model_file("vae")
DEAD = failpoints.EXIT_STATUS


def dies(plan: str | None, program: Callable[..., None], *arguments: Any) -> int:
    """Run a program in a process that exits at a failpoint. Returns its exit status."""
    child = harness.children.Process(target=_run, args=(plan, program, arguments), daemon=True)
    child.start()
    child.join(PATIENCE_S)
    if child.is_alive():
        child.kill()
        raise TimeoutError(f"{program.__name__} has not ended")
    assert child.exitcode is not None
    return child.exitcode


def _run(plan: str | None, program: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    failpoints.arm(plan)
    program(*arguments)


# --- the API ----------------------------------------------------------------------------------------------------


def submit(settings: Settings, *, is_redis_up: bool = True) -> None:
    assert _api(settings, is_redis_up=is_redis_up).post("/v1/training-jobs", json=JOB).status_code == 202


def submit_without_redis(settings: Settings) -> None:
    submit(settings, is_redis_up=False)


def delete(settings: Settings) -> None:
    client = _api(settings)
    [job] = client.get("/v1/training-jobs").get_json()["data"]
    assert client.delete(f"/v1/training-jobs/{job['id']}").status_code == 204


def upload(settings: Settings) -> None:
    form = {"name": "dickens", "kind": "text", "file": (io.BytesIO(TEXT), "dickens.txt")}
    answer = _api(settings).post("/v1/datasets", data=form, content_type="multipart/form-data")
    assert answer.status_code == 201


def upload_images(settings: Settings) -> None:
    form = {"name": "pets", "kind": "images", "file": (io.BytesIO(class_folders()), "pets.zip")}
    answer = _api(settings).post("/v1/datasets", data=form, content_type="multipart/form-data")
    assert answer.status_code == 201


def refused_upload(settings: Settings) -> None:
    """An upload whose name is taken after it was checked and before its row is written."""
    app = create_app(settings, broker=NullBroker())
    form = UploadForm(fields={}, file=io.BytesIO(TEXT))

    def taken(_session: Session, text: NewUpload) -> UploadedDataset:
        raise Conflict(f"{text.name} is taken")

    try:
        with app.test_request_context():
            dataset_uploads.store(app.extensions[EXTENSION], "dickens", "text", form, taken)
    except Conflict:
        return
    raise AssertionError("it was accepted")


def replace_dataset(settings: Settings) -> None:
    form = {"file": (io.BytesIO(OTHER_TEXT), "dickens.txt")}
    answer = _api(settings).put("/v1/datasets/dickens", data=form, content_type="multipart/form-data")
    assert answer.status_code == 200


def import_model(settings: Settings) -> None:
    form = {"file": (io.BytesIO(MODEL), "model.safetensors")}
    answer = _api(settings).post("/v1/models", data=form, content_type="multipart/form-data")
    assert answer.status_code == 201


def import_ready_model(settings: Settings) -> None:
    """A start of the reconciler on a fresh database, with one ready-made model."""
    with TemporaryDirectory() as folder, worker_context(settings, JobKind.TRAINING) as context:
        (Path(folder) / "small.safetensors").write_bytes(MODEL)
        ready = ReadyModels(settings, context.sessions, context.storage, folder=Path(folder))
        assert ready.import_missing() == ["small"]


def delete_dataset(settings: Settings) -> None:
    assert _api(settings).delete("/v1/datasets/dickens").status_code == 204


def _api(settings: Settings, *, is_redis_up: bool = True) -> FlaskClient:
    broker = NullBroker()
    broker.is_up = is_redis_up
    return create_app(settings, broker=broker).test_client()


# --- workers and the reconciler ---------------------------------------------------------------------------------


def work(settings: Settings) -> None:
    """Claim the next training job and run it to its end."""
    with (
        worker_context(settings, JobKind.TRAINING) as context,
        WorkerHeartbeat(context) as worker_heartbeat,
        ExitStack() as background,
    ):
        training.prepare(context, worker_heartbeat, background)()


def work_with_little_memory(settings: Settings) -> None:
    """Claim the next training job and run an attempt, which has too little memory for whole batches."""
    with worker_context(settings, JobKind.TRAINING, "out_of_memory") as context:
        training.prepare(context, WorkerHeartbeat(context), ExitStack())()


def generate(settings: Settings) -> None:
    """Claim the next generation job and run it to its end."""
    with worker_context(settings, JobKind.GENERATION) as context:
        heartbeat = WorkerHeartbeat(context)
        run_first(context, heartbeat, Writer(settings, context.storage), OpenGenerations(context))


def reconcile(settings: Settings) -> None:
    """Reap and notify until a job is reaped."""
    reconciler = Reconciler(settings, session_factory(make_engine(settings)), NullBroker())
    deadline = time.monotonic() + 3 * settings.lease_s
    while time.monotonic() < deadline:
        reconciler.round()
        time.sleep(0.02)


def sweep(settings: Settings) -> None:
    """Remove unneeded files."""
    storage = Storage.open_url(settings.resolved_storage_url)
    Sweeper(settings, session_factory(make_engine(settings)), storage).round()


@contextmanager
def worker_context(settings: Settings, kind: JobKind, behaviour: str = "train") -> Iterator[WorkerContext]:
    """The parts of a worker process, with the trainer that has no model."""
    engine = make_engine(settings)
    context = WorkerContext(
        settings=settings,
        kind=kind,
        sessions=session_factory(engine),
        storage=Storage.open_url(settings.resolved_storage_url),
        broker=NullBroker(),
    )
    try:
        yield behaving(context, behaviour)
    finally:
        engine.dispose()


class Writer(GenerationEngine):
    """A generator without a model."""

    def generate(self, *arguments: Any, **options: Any) -> GenerationOutput:
        path = Path(arguments[4]) / "text.txt"
        path.write_text("It was the best of times.")
        file = OutputFile(name=path.name, path=path, media_type="text/plain")
        return GenerationOutput(output={"text": "It was the best of times."}, files=[file])


# --- the database and the trainer -------------------------------------------------------------------------------


def migrate(settings: Settings) -> None:
    runner.upgrade(settings)


def train(folder: Path) -> None:
    """The trainer program with the toy model, five epochs and no more than one checkpoint beside the best."""
    folder.mkdir(parents=True, exist_ok=True)
    model_types.REGISTRY["toy"] = toy.TOY
    spec = harness.toy_spec(hyperparameters={"epochs": 5}, keep_checkpoints=1)
    (folder / "asked.json").write_text(spec.model_dump_json())
    harness._child(folder, None)
