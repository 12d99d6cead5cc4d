"""Checks an uploaded text, and gives it in the form in which it is stored. Both read the file in pieces."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from shared.errors import SpecError
from shared.text_normalization import InvalidUtf8, normalized_pieces

MIN_CHARACTERS = 200
PIECE_BYTES = 64 << 10
_CODE_POINTS = 0x110000


@dataclass(frozen=True, kw_only=True)
class TextFacts:
    """Numbers of a text in its stored form. characters, vocabulary: all, and distinct ones. size: in bytes."""

    characters: int
    vocabulary: int
    size: int
    sha256: str


def check(stream: IO[bytes]) -> TextFacts:
    """Read a text to its end. Raises SpecError for a text that is unusable for training."""
    characters = size = 0
    is_present = bytearray(_CODE_POINTS)  # a set of strings takes a hundred times as much for a million code points
    digest = hashlib.sha256()
    for text in _normalized(stream):
        data = text.encode()
        characters += len(text)
        size += len(data)
        digest.update(data)
        for character in set(text):
            is_present[ord(character)] = 1
    vocabulary = sum(is_present)
    if characters < MIN_CHARACTERS:
        counted = "1 character" if characters == 1 else f"{characters} characters"
        detail = f"The text has {counted}, with each line end as one; give at least {MIN_CHARACTERS}."
        raise SpecError.at("/file", detail, "too_short")
    if vocabulary < 2:
        detail = "The text repeats one character; give a text with at least two different ones."
        raise SpecError.at("/file", detail, "one_character")
    return TextFacts(characters=characters, vocabulary=vocabulary, size=size, sha256=digest.hexdigest())


def stored_pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """The text as it is stored: UTF-8 with Unix line ends, without a byte-order mark."""
    return (text.encode() for text in _normalized(stream))


def _normalized(stream: IO[bytes]) -> Iterator[str]:
    stream.seek(0)
    try:
        yield from normalized_pieces(_pieces(stream))
    except InvalidUtf8 as error:
        detail = f"The file is not UTF-8: the byte at offset {error.offset} is invalid. Convert it to UTF-8 first."
        raise SpecError.at("/file", detail, "not_utf8") from None


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    offset = 0
    while piece := stream.read(PIECE_BYTES):
        if (position := piece.find(b"\x00")) >= 0:
            detail = f"The byte at offset {offset + position} is NUL; this is not a text file."
            raise SpecError.at("/file", detail, "not_text")
        yield piece
        offset += len(piece)
