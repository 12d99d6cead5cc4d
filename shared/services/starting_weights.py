"""Checks of `init_from`: the checkpoint exists, and its weights fit the job."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from shared.datasets import DatasetShape
from shared.errors import FieldError, SpecError
from shared.model_types.base import Hyperparameters, ModelType
from shared.services import datasets, model_config, models
from shared.services.models import Source
from shared.settings import Settings


def admit(
    session: Session,
    reference: str | None,
    model_type: ModelType,
    hyperparameters: Hyperparameters,
    *,
    shape: DatasetShape,
    settings: Settings,
) -> Mapping[str, Any] | None:
    """`init_from` of a job's spec, None without one.

    Raises SpecError for an unknown reference, another model type, and each hyperparameter or image size with which the
    weights have other sizes. Other characters and other classes are no obstacle: the trainer adapts the weights.
    """
    if reference is None:
        return None
    source = models.resolve(session, reference, pointer="/init_from")
    if source.model_type != model_type.name:
        detail = f"{reference} is a {source.model_type}; this job trains a {model_type.name}."
        raise SpecError.at("/init_from", detail, "wrong_kind")
    errors = _other_sizes(reference, source, model_type, hyperparameters)
    if model_type.data_kind == "images":
        errors += _other_image_size(session, reference, source, shape, settings)
    if errors:
        raise SpecError(errors[0].detail, errors)
    return {"id": reference, "checkpoint_id": source.checkpoint.id}


def _other_sizes(
    reference: str, source: Source, model_type: ModelType, hyperparameters: Hyperparameters
) -> list[FieldError]:
    if model_type.weight_sizes is None:
        return []
    there = model_type.weight_sizes(model_type.hyperparameters.model_validate(source.hyperparameters))
    here = model_type.weight_sizes(hyperparameters)
    return [
        FieldError(
            pointer=f"/hyperparameters/{name}",
            detail=f"{reference} was trained with {name} = {_shown(there[name])}, and this job has {_shown(value)}, so"
            f" its weights do not fit. Use {_shown(there[name])}, or leave init_from out.",
            code="does_not_fit",
        )
        for name, value in here.items()
        if name in there and there[name] != value
    ]


def _shown(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _other_image_size(
    session: Session, reference: str, source: Source, shape: DatasetShape, settings: Settings
) -> list[FieldError]:
    known = datasets.shape(session, source.dataset) or DatasetShape(kind=shape.kind)
    there = model_config.shape(model_config.of_checkpoint(session, source.checkpoint, settings), known)
    if _image_size(there) == _image_size(shape):
        return []
    detail = f"{reference} was trained on images of {_image_size(there)}, and this dataset has {_image_size(shape)}"
    return [
        FieldError(
            pointer="/dataset",
            detail=f"{detail}, so its weights do not fit. Use a dataset of the same size, or leave init_from out.",
            code="does_not_fit",
        )
    ]


def _image_size(shape: DatasetShape) -> str:
    return f"{shape.channels}×{shape.height}×{shape.width}"
