"""Models in formats for use without the service, verified after writing."""

from worker.export.weights import load_weights

__all__ = ["load_weights"]
