"""The classes that an evaluation needs. A figure without them is left out, and a warning of the job says so."""

from torch import Tensor, isin, tensor

from shared.model_types.base import DataWarning
from worker.data import ImageDataset


def absent_classes(dataset: ImageDataset) -> list[int]:
    """Labels without a training image."""
    present = set(dataset.train_labels.unique().tolist())
    return [label for label in range(len(dataset.class_names)) if label not in present]


def chosen_test_images(dataset: ImageDataset, labels: list[int] | Tensor) -> tuple[Tensor, Tensor]:
    """Test images of these classes, uint8 [N, C, H, W], and their labels, [N]."""
    chosen = isin(dataset.test_labels, labels if isinstance(labels, Tensor) else tensor(labels))
    if bool(chosen.all()):
        return dataset.test_images, dataset.test_labels
    return dataset.test_images[chosen], dataset.test_labels[chosen]


def missing_classes(dataset: ImageDataset) -> list[DataWarning]:
    """A warning where some classes have no training image."""
    absent = absent_classes(dataset)
    if not absent:
        return []
    count = len(dataset.class_names)
    names = ", ".join(dataset.class_names[label] for label in absent[:20]) + (", …" if len(absent) > 20 else "")
    message = (
        f"The training images show {count - len(absent)} of {count} classes; there are none of {names}. "
        "Images of these classes are not learned, and the figures leave them out."
    )
    hint = "Add images of these classes, or request only labels of the others when you generate."
    return [DataWarning(code="missing_classes", message=message, hint=hint, data={"labels": absent})]
