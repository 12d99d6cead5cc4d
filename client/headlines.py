"""The few metrics and quality figures that lists and progress lines show: the headlines of the served contracts."""

from collections.abc import Callable, Sequence

from client.http import Client
from client.schema import Job, MeasureDocs, ModelType

Names = Callable[[str], Sequence[str] | None]
"""Figures to show by model type, in order; None for all of them."""


def everything(model_type: str) -> None:  # noqa: ARG001  has the form of `Names`
    """No selection."""
    return


def shown_metrics(job: Job, names: Names) -> Sequence[str] | None:
    """The metrics of a job to show. A job without metrics needs no request for the contracts."""
    return names(job["model_type"]) if job.get("metrics") else None


class Headlines:
    """The headline figures by model type. The contracts are fetched once, when the first figure is shown."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._found: dict[str, ModelType] | None = None

    def metrics(self, model_type: str) -> Sequence[str] | None:
        """Training metrics; None where the server does not describe them."""
        contract = self._contract(model_type)
        return _names(contract.get("metric_docs")) if contract else None

    def quality(self, model_type: str) -> Sequence[str] | None:
        """Figures of the final evaluation; None where the server does not describe them."""
        contract = self._contract(model_type)
        return _names(contract.get("quality_docs")) if contract else None

    def _contract(self, model_type: str) -> ModelType | None:
        if self._found is None:
            self._found = {each["name"]: each for each in self._client.model_types()}
        return self._found.get(model_type)


def _names(docs: list[MeasureDocs] | None) -> list[str] | None:
    return [each["name"] for each in docs if each["is_headline"]] if docs else None
