"""Models in formats that others read: written, and checked before anybody gets them."""

from worker.export.weights import load_weights

__all__ = ["load_weights"]
