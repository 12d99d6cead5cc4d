"""Evaluation of generated images with a small classifier of real images, and metrics of its features.

Class accuracy alone rewards one good image per class, so the Fréchet distance and the diversity complement it.
Shapes: N images, F features of the classifier's last hidden layer.
"""

import hashlib
import math
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from worker.data import ImageDataset
from worker.models.image_model import unit
from worker.models.optimization import learning_rate, set_learning_rate
from worker.seeding import epoch_batches, generator

VERSION = 1  # of the recipe: a cached classifier of another version is not used
FEATURES = 128
TRAINING_IMAGES = 90_000  # seen in all: 1.5 epochs of MNIST give 98.6 % on its test set in 7 s of one core
BATCH = 128
PEAK_RATE = 4e-3
NEIGHBOUR = 3  # of precision and recall
NEIGHBOUR_IMAGES = 5_000
DIVERSITY_IMAGES = 400  # of each class
CHECKPOINT_IMAGES = 2_000  # generated for the evaluation of a checkpoint
FINAL_IMAGES = 10_000  # and for the final one


class EvaluationClassifier(nn.Module):
    """Two strided convolutions and two dense layers."""

    def __init__(self, image_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * -(-height // 4) * -(-width // 4), FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Class logits, [N, K], of images in [0, 1]."""
        logits_NK: Tensor = self.head(self.body(images))
        return logits_NK

    @classmethod
    def for_dataset(cls, dataset: ImageDataset, cache_dir: Path | None) -> "EvaluationClassifier":
        """A classifier trained on the dataset's training images, or read from the cache."""
        with torch.random.fork_rng(devices=[]):  # keeps the default generators; `fit` sets the weights again
            classifier = cls(dataset.image_shape, len(dataset.class_names)).eval()
        path = cache_dir / f"judge-{_fingerprint(dataset)}.safetensors" if cache_dir else None
        if path is None or not _read(classifier, path):
            classifier.fit(dataset.train_images, dataset.train_labels, seen=TRAINING_IMAGES)
            if path is not None:
                _write(classifier, path)
        return classifier

    def fit(self, images: Tensor, labels: Tensor, *, seen: int, shift: int = 0) -> None:
        """Train; the same images give the same classifier, and torch's default generators are unchanged.

        images: uint8 [N, C, H, W]. seen: number of training images, with repetition. shift: largest random shift in
        pixels, in each direction; one for each batch.
        """
        height, width = images.shape[2:]
        roomy = pad(images, (shift, shift, shift, shift)) if shift else images
        steps = math.ceil(seen / BATCH)
        batches = epoch_batches(len(images), seen, BATCH, seed=0, epoch=1)
        corners = torch.randint(2 * shift + 1, (steps, 2), generator=generator(0, 2)).tolist()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(0)
            for module in self.modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    module.reset_parameters()
            self.train()
            optimizer = torch.optim.AdamW(self.parameters(), PEAK_RATE, fused=True)
            for step, (chosen, (top, left)) in enumerate(zip(batches, corners, strict=True)):
                rate = learning_rate(PEAK_RATE, step, steps, warmup_steps=100, schedule="cosine")
                set_learning_rate(optimizer, rate)
                moved = roomy[chosen, :, top : top + height, left : left + width]
                loss = cross_entropy(self(unit(moved)), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            self.eval()

    @torch.inference_mode()
    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features, double [N, F], and predicted classes, [N], of images in [0, 1]."""
        features = torch.cat([self.body(chunk) for chunk in images.split(1000)])
        return features.double(), self.head(features).argmax(dim=1)

    def accuracy(self, images: Tensor, labels_N: Tensor) -> float:
        """Share of these images, uint8 [N, C, H, W], whose class it predicts correctly."""
        classes = torch.cat([self.predict(unit(chunk))[1] for chunk in images.split(1000)])
        return float((classes == labels_N).double().mean())


def labelled_figures(
    network: EvaluationClassifier, images: Tensor, labels_N: Tensor, dataset: ImageDataset, *, final: bool
) -> dict[str, float]:
    """Metrics of generated images in [0, 1] against as many test images.

    class_accuracy: share of images that the classifier assigns to the requested class. frechet_distance: between the
    two distributions of features (Heusel et al. 2017, arXiv:1706.08500). diversity: mean distance between two images of
    a class, as a share of the real images'; lowest_diversity: that of the least diverse class. final: also
    worst_class_accuracy; judge_accuracy, the classifier's accuracy on all test images, above which class_accuracy has
    no meaning; precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991).
    """
    generated, classes = network.predict(images)
    real, _ = network.predict(unit(dataset.test_images[: len(images)]))
    real_labels = dataset.test_labels[: len(images)]
    generated_K = _diversity(generated, labels_N, len(dataset.class_names))
    real_K = _diversity(real, real_labels, len(dataset.class_names))
    right_N = (classes == labels_N).double()
    figures = {
        "class_accuracy": float(right_N.mean()),
        "frechet_distance": frechet_distance(real, generated),
        "diversity": float(generated_K.nanmean() / real_K.nanmean()),
        "lowest_diversity": float((generated_K / real_K).nan_to_num(math.inf).min()),
    }
    if final:
        precision, recall = precision_recall(real[:NEIGHBOUR_IMAGES], generated[:NEIGHBOUR_IMAGES])
        figures |= {
            "worst_class_accuracy": min(float(right_N[labels_N == label].mean()) for label in labels_N.unique()),
            "judge_accuracy": network.accuracy(dataset.test_images, dataset.test_labels),
            "precision": precision,
            "recall": recall,
        }
    return figures


def frechet_distance(real_NF: Tensor, generated_NF: Tensor) -> float:
    """Fréchet distance between normal distributions with the means and covariances of these features."""
    means = (real_NF.mean(dim=0) - generated_NF.mean(dim=0)).square().sum()
    real, generated = torch.cov(real_NF.T), torch.cov(generated_NF.T)
    # The trace of the product's square root is the sum of the square roots of its eigenvalues, which are not negative.
    root = torch.linalg.eigvals(real @ generated).real.clamp(min=0).sqrt().sum()
    return float(means + real.trace() + generated.trace() - 2 * root)


def precision_recall(real_NF: Tensor, generated_NF: Tensor) -> tuple[float, float]:
    """Share of generated images inside the manifold of real ones, and the reverse.

    The manifold is the union of balls around the points, each with the distance to the third-nearest other as radius.
    """

    def radii(points: Tensor) -> Tensor:
        # By parts: kthvalue copies its input and adds as many int64 indices.
        parts = torch.cdist(points, points).split(500)
        return torch.cat([part.kthvalue(NEIGHBOUR + 1, dim=1).values for part in parts])

    distances = torch.cdist(real_NF, generated_NF)
    precision = (distances <= radii(real_NF)[:, None]).any(dim=0).double().mean()
    recall = (distances <= radii(generated_NF)[None, :]).any(dim=1).double().mean()
    return float(precision), float(recall)


def _diversity(features_NF: Tensor, labels_N: Tensor, classes: int) -> Tensor:
    """Mean distance between two images of one class, [K]; nan for a class with fewer than two."""
    chosen = [features_NF[labels_N == label][:DIVERSITY_IMAGES] for label in range(classes)]
    return torch.stack([torch.pdist(points).mean() for points in chosen])


def _fingerprint(dataset: ImageDataset) -> str:
    labels = hashlib.sha256(dataset.train_labels.numpy().tobytes()).hexdigest()
    return hashlib.sha256(f"{VERSION} {dataset.sha256} {labels}".encode()).hexdigest()[:16]


def _read(classifier: EvaluationClassifier, path: Path) -> bool:
    """Load cached weights. False where they are missing or damaged."""
    try:
        classifier.load_state_dict(load_file(path))
    except (FileNotFoundError, SafetensorError, RuntimeError):
        return False
    return True


def _write(classifier: EvaluationClassifier, path: Path) -> None:
    """Write the weights to the cache atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        temporary = Path(file.name)
    save_file(classifier.state_dict(), temporary)
    temporary.replace(path)
