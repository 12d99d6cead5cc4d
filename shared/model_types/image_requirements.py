"""Test images that an evaluation needs. A figure without them is left out, and a warning of the job says so."""

from shared.datasets import DatasetShape
from shared.model_types.base import DataWarning

FEWEST_COMPARED = 10  # test images; with fewer no distribution of images is compared with theirs
FEWEST_PRECISE = 129  # one more than the features whose covariance is estimated
COMPARED = ("frechet_distance", "diversity", "precision", "recall")
_HINT = "Add images to the test part of the dataset."


def adversarial_warnings(dataset: DatasetShape) -> list[DataWarning]:
    """A warning where a GAN's figures are left out or imprecise."""
    return [] if dataset.test_examples is None else few_test_images(dataset.test_examples)


def reconstruction_warnings(dataset: DatasetShape) -> list[DataWarning]:
    """A warning where a VAE's figures are left out or imprecise."""
    count = dataset.test_examples
    if count is None or count >= FEWEST_COMPARED:
        return []
    left_out = "" if count > 1 else ", and active_units is left out"
    message = f"{_counted(count, 'test images')}; the figures of the evaluation are imprecise{left_out}."
    return [DataWarning(code="few_test_images", message=message, hint=_HINT)]


def few_test_images(count: int, unit: str = "test images") -> list[DataWarning]:
    """A warning where figures that compare generated images with `count` test images are left out or imprecise."""
    if count >= FEWEST_PRECISE:
        return []
    has = _counted(count, unit)
    names = ", ".join(COMPARED)
    if count < FEWEST_COMPARED:
        message = (
            f"{has}; a comparison with generated images needs {FEWEST_COMPARED}. "
            f"{names} are left out, and the last checkpoint is published."
        )
    else:
        message = f"{has}; with fewer than {FEWEST_PRECISE} the figures {names} are imprecise."
    return [DataWarning(code="few_test_images", message=message, hint=_HINT)]


def _counted(count: int, unit: str) -> str:
    """`There is 1 test image`, `There are 5 test images of these classes`."""
    return f"There is 1 {unit.replace('images', 'image')}" if count == 1 else f"There are {count} {unit}"
