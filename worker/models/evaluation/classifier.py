"""The evaluation classifier: a small classifier of real images, whose features compare generated images with them.

Shapes: N images, F features of the last hidden layer.
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
        path = cache_dir / f"classifier-{_fingerprint(dataset)}.safetensors" if cache_dir else None
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
