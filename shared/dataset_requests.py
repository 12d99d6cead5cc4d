"""Requests that change uploaded datasets: shape and bounds."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.errors import SpecError
from shared.specs import is_storable, parse

MAX_DESCRIPTION = 2000


class DatasetChange(BaseModel):
    """Request to change an uploaded dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    description: Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION)] | None = Field(
        description="Free text for people; null removes it."
    )


def parse_dataset_change(body: Any) -> DatasetChange:
    """The request in a JSON body. Raises SpecError with a pointer to each wrong field."""
    return parse(DatasetChange, body)


def check_description(text: str) -> None:
    """Raises SpecError for a description that is too long or that a database cannot hold."""
    if len(text) > MAX_DESCRIPTION:
        raise SpecError.at("/description", f"Use at most {MAX_DESCRIPTION:,} characters.", "string_too_long")
    if not is_storable(text):
        detail = "The text holds a NUL or an unpaired surrogate; send it as valid Unicode without NUL."
        raise SpecError.at("/description", detail, "unstorable_text")
