"""Requests for datasets: one method for each endpoint."""

from pathlib import Path
from typing import cast

from client.files import Opener, open_file
from client.schema import Dataset, DatasetPreview
from client.transport import Transport


class DatasetRequests(Transport):
    """The part of the client for datasets."""

    def datasets(self) -> list[Dataset]:
        """The datasets."""
        return cast("list[Dataset]", self.all_of("/v1/datasets", key="name"))

    def dataset(self, name: str) -> Dataset:
        """One dataset."""
        return cast("Dataset", self.get(f"/v1/datasets/{name}"))

    def dataset_preview(self, name: str, **query: str | int | None) -> DatasetPreview:
        """A passage of a text, or images by class."""
        return cast("DatasetPreview", self.get(f"/v1/datasets/{name}/preview", **query))

    def add_dataset(
        self, name: str, path: Path, kind: str, *, opener: Opener = open_file, **fields: str | None
    ) -> Dataset:
        """Upload a file as a dataset. kind: `text` or `images`. fields: others of the form."""
        return self._send_dataset("POST", "/v1/datasets", path, opener=opener, name=name, kind=kind, **fields)

    def replace_dataset(
        self, name: str, path: Path, kind: str, *, opener: Opener = open_file, **fields: str | None
    ) -> Dataset:
        """Replace the contents of an uploaded dataset; its description stays where none is given."""
        return self._send_dataset("PUT", f"/v1/datasets/{name}", path, opener=opener, kind=kind, **fields)

    def describe_dataset(self, name: str, description: str | None) -> Dataset:
        """Change the description of an uploaded dataset; None removes it."""
        response = self.request("PATCH", f"/v1/datasets/{name}", json={"description": description})
        return cast("Dataset", response.json())

    def delete_dataset(self, name: str) -> None:
        """Delete an uploaded dataset. Raises ApiError 409 while unfinished jobs use it."""
        self.request("DELETE", f"/v1/datasets/{name}")

    def _send_dataset(self, method: str, address: str, path: Path, *, opener: Opener, **fields: str | None) -> Dataset:
        sent = self.send_file(method, address, path, "application/octet-stream", opener=opener, **fields)
        return cast("Dataset", sent)
