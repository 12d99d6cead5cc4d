"""Jobs in the database of a studio, as users and workers write them."""

from io import BytesIO
from typing import Any

import httpx
from PIL import Image

from shared.job_status import JobKind
from shared.services.job_queue import Lease
from tests.api.worker_hands import WorkerWrites


def submit(url: str, name: str, **request: Any) -> dict[str, Any]:
    """Queue a VAE on digits; returns the job."""
    body = {"model_type": "vae", "dataset": "digits", "name": name, **request}
    response = httpx.post(f"{url}/v1/training-jobs", json=body, trust_env=False)
    response.raise_for_status()
    job: dict[str, Any] = response.json()
    return job


def picture(grey: int) -> bytes:
    """A PNG of 28×28 pixels of one grey."""
    buffer = BytesIO()
    Image.new("L", (28, 28), grey).save(buffer, "PNG")
    return buffer.getvalue()


def claim(worker: WorkerWrites) -> Lease:
    """Claim the oldest queued training."""
    lease = worker.claim_if_any(JobKind.TRAINING)
    assert lease is not None
    return lease


def epochs(worker: WorkerWrites, lease: Lease, count: int, *, first: int = 1) -> None:
    """Report epochs: two curves, a picture each, and the progress."""
    for epoch in range(first, first + count):
        step = 10 * epoch
        for name, value in (("loss", 40.0 / epoch), ("val_loss", 44.0 / epoch)):
            worker.point(lease, name, epoch=epoch, step=step, value=value)
        worker.file(lease, f"samples/epoch-{epoch:03d}.png", picture(20 * epoch), epoch=epoch, step=step)
        progress = {"epoch": epoch, "epochs": 10, "step": step, "steps": 100, "fraction": epoch / 10, "eta_s": 5.0}
        worker.report(lease, progress=progress, metrics={"loss": 40.0 / epoch}, device="cpu")


def texts(worker: WorkerWrites, lease: Lease, *, epoch: int) -> None:
    """Report the texts of an epoch at two temperatures."""
    for temperature in (0.5, 1):
        content = f"epoch {epoch} at {temperature}".encode()
        name = f"samples/epoch-{epoch:04d}-t{temperature}.txt"
        details = {"temperature": temperature}
        worker.file(lease, name, content, media_type="text/plain", epoch=epoch, step=10 * epoch, details=details)
