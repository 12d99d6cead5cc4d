"""Datasets in memory: `load` returns a TextCorpus or an ImageDataset."""

from worker.data.images import ImageDataset
from worker.data.loading import Dataset, load
from worker.data.text import TextCorpus
from worker.data.uploads import load as load_upload

__all__ = ["Dataset", "ImageDataset", "TextCorpus", "load", "load_upload"]
