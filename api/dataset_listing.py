"""Datasets as API resources."""

from api.schemas.resources import Dataset, DatasetUse
from api.urls import url
from shared.datasets import DatasetInfo, DatasetShape, availability
from shared.datasets.checksums import checksums_of
from shared.db.tables import UploadedDataset
from shared.services import datasets
from shared.services.datasets import Use
from shared.settings import Settings


def of_registry(info: DatasetInfo, settings: Settings, use: Use) -> Dataset:
    """A dataset of the registry, and whether its files are on this machine."""
    downloads = settings.downloads_path
    available = availability(info, settings.datasets_dir, downloads, offline=settings.offline)
    return Dataset.model_validate(
        {
            "name": info.name,
            "kind": info.kind,
            "title": info.title,
            "description": None,
            "source": "registry",
            "availability": available,
            "detail": _where_to_put(info) if available == "missing" else None,
            "license": info.license,
            "examples": info.shape.examples,
            "classes": info.shape.classes,
            "vocabulary": info.shape.vocabulary,
            "size": None,
            "sha256": None,
            "version": None,
            "created_at": None,
            "updated_at": None,
            "used_by": DatasetUse(jobs=use.jobs, models=use.models),
            "sources": [url for source in info.sources for url in source.urls[:1]],
            "checksums": checksums_of(info, downloads),
            "image_shape": [info.shape.channels, info.shape.height, info.shape.width]
            if info.kind == "images"
            else None,
            "picture": None,
            "class_names": list(info.class_names) if info.kind == "images" else None,
        }
    )


def of_upload(row: UploadedDataset, use: Use) -> Dataset:
    """A dataset that a user uploaded."""
    shape = datasets.shape_of_upload(row)
    is_text = row.kind == "text"
    return Dataset.model_validate(
        {
            "name": row.name,
            "kind": row.kind,
            "title": _title(shape),
            "description": row.description,
            "source": "upload",
            "availability": "present",
            "detail": " ".join(row.details.get("notes", [])) or None,
            "license": None,
            "examples": shape.examples,
            "classes": shape.classes,
            "vocabulary": shape.vocabulary,
            "size": row.size,
            "sha256": row.sha256,
            "version": row.version,
            "created_at": row.created_at,
            "updated_at": row.updated_at or row.created_at,
            "used_by": DatasetUse(jobs=use.jobs, models=use.models),
            "sources": [],
            "checksums": {},
            "image_shape": None if is_text else [shape.channels, shape.height, shape.width],
            "picture": None if is_text else url(f"/v1/datasets/{row.name}/picture"),
            "class_names": None if is_text else row.details["classes"],
        }
    )


def _title(shape: DatasetShape) -> str:
    if shape.kind == "text":
        return f"Uploaded text, {shape.examples:,} characters" if shape.examples else "Uploaded text"
    classes = "1 class" if shape.classes == 1 else f"{shape.classes:,} classes"
    colour = "grey" if shape.channels == 1 else "colour"
    return f"{shape.examples:,} uploaded images in {classes}, {shape.height}×{shape.width}, {colour}"


def _where_to_put(info: DatasetInfo) -> str:
    names = ", ".join(info.files)
    return f"Put {names} under MIMEO_DATASETS_DIR, which the workers and this server must be able to read."
