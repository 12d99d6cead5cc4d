"""Datasets in memory: `load` gives a TextCorpus or an ImageDataset, wherever the files are or come from."""

from worker.data.images import ImageDataset
from worker.data.loading import Dataset, load
from worker.data.text import TextCorpus

__all__ = ["Dataset", "ImageDataset", "TextCorpus", "load"]
