"""The samples of the demonstration, as files for display."""

import io
from pathlib import Path
from typing import Any

from client.errors import ClientError
from client.formatting import outcome
from client.http import Client
from client.images import contact_sheet, enlarged
from client.schema import Job, ModelType

SEED = 1


def generate_sample(client: Client, model_type: ModelType, model: str, folder: Path) -> tuple[Path, bytes, str]:
    """Sample a model with the parameters of its type's demonstration and write the result to `folder`, images enlarged.

    Returns the path, its content and its media type. Raises ClientError when the generation fails.
    """
    job: Job = client.generate({"model": model, "sampling": model_type["demo"]["sampling"], "seed": SEED})
    if job["status"] != "succeeded":
        raise ClientError(outcome(job))
    artifact = job.get("artifacts", [])[0]
    content = client.content(artifact["id"])
    path = folder / f"{model_type['name']}{Path(artifact['name']).suffix}"
    if artifact["media_type"] == "image/png":
        buffer = io.BytesIO()
        enlarged(content).save(buffer, "PNG")
        content = buffer.getvalue()
    path.write_bytes(content)
    return path, content, artifact["media_type"]


def write_sheet(samples: list[tuple[str, bytes, str]], path: Path) -> Path:
    """All samples on one sheet. samples: title, content and media type of each."""
    panels: list[tuple[str, Any]] = [
        (title, enlarged(content) if media_type == "image/png" else content.decode("utf-8", errors="replace"))
        for title, content, media_type in samples
    ]
    contact_sheet(panels).save(path)
    return path
