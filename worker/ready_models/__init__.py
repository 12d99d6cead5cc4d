"""The models that come with Mimeo: their import at the first start, and the command that trains them."""

from worker.ready_models.importing import ReadyModels

__all__ = ["ReadyModels"]
