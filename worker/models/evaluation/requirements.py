"""The data that an evaluation needs. A figure without it is left out, and a warning of the job says so."""

from torch import Tensor, isin, tensor

from worker.data import ImageDataset
from worker.models.base import DataWarning

FEWEST_COMPARED = 10  # test images; with fewer no distribution of images is compared with theirs
FEWEST_PRECISE = 129  # one more than the features whose covariance is estimated
COMPARED = ("frechet_distance", "diversity", "precision", "recall")


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


def few_test_images(count: int, unit: str = "test images") -> list[DataWarning]:
    """A warning where figures that compare generated images with `count` test images are left out or imprecise."""
    if count >= FEWEST_PRECISE:
        return []
    has = counted(count, unit)
    names = ", ".join(COMPARED)
    if count < FEWEST_COMPARED:
        message = (
            f"{has}; a comparison with generated images needs {FEWEST_COMPARED}. "
            f"{names} are left out, and the last checkpoint is published."
        )
    else:
        message = f"{has}; with fewer than {FEWEST_PRECISE} the figures {names} are imprecise."
    return [DataWarning(code="few_test_images", message=message, hint="Add images to the test part of the dataset.")]


def counted(count: int, unit: str = "test images") -> str:
    """`There is 1 test image`, `There are 5 test images of these classes`."""
    return f"There is 1 {unit.replace('images', 'image')}" if count == 1 else f"There are {count} {unit}"


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
