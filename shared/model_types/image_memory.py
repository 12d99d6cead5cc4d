"""Memory of what all models of images do, in bytes: their dataset, the evaluation at the end, and files of images."""

from shared.datasets import DatasetShape

CHUNK = 500  # images that a model generates at a time
NUMBER_BYTES = 32  # of each number in a request: parsed, checked and as a tensor

_SCORED_IMAGES = 20_000  # generated at the end, which the accuracy score learns from
_JUDGED_IMAGES = 10_000  # of them and of real images, which the evaluation classifier looks at
_NEIGHBOURS = 5_000  # generated and real images each, whose distances in double precision are compared


def pixels(dataset: DatasetShape) -> int:
    """Numbers of an image."""
    return dataset.height * dataset.width * dataset.channels


def dataset_bytes(dataset: DatasetShape) -> int:
    """All images as uint8, and once more in a training; their labels."""
    return mapped_bytes(dataset) + (dataset.examples or 70_000) * pixels(dataset)


def mapped_bytes(dataset: DatasetShape) -> int:
    """All images as uint8, mapped from their file, and their labels. Builtin digits are made as float32."""
    examples = dataset.examples or 70_000
    return examples * (pixels(dataset) + 24) + 8 * min(examples, 2_000) * pixels(dataset)


def classifier_bytes(dataset: DatasetShape) -> int:
    """The evaluation classifier's layers for 1,000 images, and its 128 features of each quarter of the size."""
    area = dataset.height * dataset.width
    return 4 * 1000 * (8 * area + pixels(dataset)) + 16 * 128 * 2 * area


def reconstruction_score_bytes(dataset: DatasetShape) -> int:
    """The accuracy score of reconstructions: uint8 images, gathered, framed for shifts, and a classifier."""
    images = min(_SCORED_IMAGES, dataset.examples or 70_000)
    return 3 * images * pixels(dataset) + classifier_bytes(dataset)


def evaluation_bytes(dataset: DatasetShape, layers: int) -> int:
    """The final evaluation of generated images, float32 and gathered from chunks, beside as many real ones.

    The distances of generated images from one another exist twice for a moment. layers: bytes of the generator's layers
    for a chunk of images.
    """
    generated = 4 * _SCORED_IMAGES * pixels(dataset)
    tested = -(-(dataset.examples or 70_000) // 5)
    real = 4 * min(_JUDGED_IMAGES, tested) * pixels(dataset)
    distances = 8 * _NEIGHBOURS * (2 * _NEIGHBOURS + min(_NEIGHBOURS, tested) + 1000)
    return 2 * generated + layers + max(2 * generated, 2 * real + distances) + classifier_bytes(dataset)


def image_files_bytes(images: int, dataset: DatasetShape) -> int:
    """Generated images as float32, gathered and scaled, and as a file."""
    return 5 * 4 * images * pixels(dataset)
