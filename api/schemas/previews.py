"""Previews of datasets."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Answer


class CharacterCount(Answer):
    """A character of a text, and how often it occurs."""

    character: str
    count: int


class TextPreview(Answer):
    """A passage of a text, and its characters."""

    size: int = Field(description="Bytes of the text.")
    offset: int = Field(description="Byte at which the excerpt starts: the first whole character from the given one.")
    excerpt: str
    counted: int = Field(description="Characters from the start in which the characters were counted.")
    characters: list[CharacterCount] = Field(description="The most frequent first.")


class ImageClass(Answer):
    """A class of images. count: in this part."""

    label: int
    name: str
    count: int


class ImagePreview(Answer):
    """Images of one class, or of every class in order."""

    part: Literal["train", "test"]
    channels: int
    height: int
    width: int
    classes: list[ImageClass]
    indices: list[int] = Field(description="Places of the images in their part of the dataset.")
    labels: list[int]
    pixels: str = Field(
        description="Base64 of one byte for each value: image after image, each by channel, row and column."
    )


class DatasetPreview(Answer):
    """A part of a dataset: `text` or `images`, by its kind."""

    name: str
    object: Literal["dataset_preview"] = "dataset_preview"
    kind: str
    text: TextPreview | None
    images: ImagePreview | None
