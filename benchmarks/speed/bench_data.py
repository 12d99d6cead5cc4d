"""The data of every implementation: the real datasets where they are on this machine, the built-in ones otherwise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared import model_types
from shared.datasets import REGISTRY, locate
from shared.settings import Settings
from worker.data import Dataset, ImageDataset, TextCorpus, load


@dataclass(frozen=True, kw_only=True)
class BenchData:
    """One dataset for each model type, and the folder of its files (None: it is built in)."""

    datasets: dict[str, Dataset]
    folders: dict[str, Path | None]

    @classmethod
    def at_hand(cls, settings: Settings, *, builtin: bool = False) -> "BenchData":
        """Load the datasets. Nothing is downloaded. builtin: use only the built-in ones, which are small."""
        datasets: dict[str, Dataset] = {}
        folders: dict[str, Path | None] = {}
        loaded: dict[str, Dataset] = {}
        places = [place for place in (settings.datasets_dir, settings.home_path / "datasets") if place]
        for kind in model_types.REGISTRY.values():
            here = [place for place in places if locate(REGISTRY[kind.default_dataset], (place,))]
            folder = here[0] if here and not builtin else None
            name = kind.default_dataset if folder else kind.fallback_dataset
            if name not in loaded:
                loaded[name] = load(name, datasets_dir=folder, home=settings.home_path, offline=True)
            datasets[kind.name], folders[kind.name] = loaded[name], folder
        return cls(datasets=datasets, folders=folders)

    @property
    def names(self) -> dict[str, str]:
        """Dataset by model type."""
        return {model_type: dataset.name for model_type, dataset in self.datasets.items()}

    @property
    def text(self) -> TextCorpus:
        """The LSTM's data."""
        corpus = self.datasets["lstm"]
        assert isinstance(corpus, TextCorpus)
        return corpus

    def images(self, model_type: str) -> ImageDataset:
        """The data of the VAE or the ACGAN."""
        dataset = self.datasets[model_type]
        assert isinstance(dataset, ImageDataset)
        return dataset

    def write(self, path: Path) -> None:
        """Write everything as one npz, for an implementation with an environment of its own.

        `lstm.ids` uint8 [N], `TYPE.images` uint8 [N, 28, 28], `TYPE.labels` int64 [N].
        """
        arrays = {"lstm.ids": self.text.training_ids.numpy()}
        for model_type in ("vae", "acgan"):
            dataset = self.images(model_type)
            arrays[f"{model_type}.images"] = dataset.train_images[:, 0].numpy()
            arrays[f"{model_type}.labels"] = dataset.train_labels.numpy()
        np.savez(path, **arrays)
