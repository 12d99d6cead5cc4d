"""Passages and the character set of a text, without reading more of it than they need."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO

from shared.text_normalization import normalize, normalized_pieces

MOST_COUNTED = 4_000_000  # characters; a few tenths of a second
_PIECE_BYTES = 64 << 10
_LONGEST_CHARACTER = 4  # bytes of UTF-8


@dataclass(frozen=True)
class TextSource:
    """A UTF-8 text. identity: changes with the content. size: in bytes."""

    identity: str
    size: int
    open: Callable[[], IO[bytes]] = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A part of a text. offset: of its first byte."""

    offset: int
    text: str


@dataclass(frozen=True, kw_only=True)
class CharacterSet:
    """How often each character occurs in the first `counted` characters, the most frequent first."""

    counted: int
    counts: tuple[tuple[str, int], ...]


def random_offset(source: TextSource, length: int, seed: int) -> int:
    """A byte offset that leaves room for `length` characters of one byte."""
    return random.Random(seed).randrange(max(1, source.size - length))


def passage(source: TextSource, offset: int, length: int) -> Passage:
    """`length` characters from the first whole character at or after the byte `offset`, with Unix line ends."""
    with source.open() as file:
        file.seek(offset)
        data = file.read(_LONGEST_CHARACTER * (length + 1))
    skipped = 0
    while skipped < min(len(data), _LONGEST_CHARACTER - 1) and data[skipped] & 0xC0 == 0x80:  # within a character
        skipped += 1
    return Passage(offset=offset + skipped, text=normalize(data[skipped:].decode("utf-8", "ignore"))[:length])


@lru_cache(maxsize=64)
def character_set(source: TextSource) -> CharacterSet:
    """The characters of a text. Raises InvalidUtf8."""
    counts: Counter[str] = Counter()
    counted = 0
    with source.open() as file:
        for text in normalized_pieces(_pieces(file)):
            counts.update(text)
            counted += len(text)
            if counted >= MOST_COUNTED:
                break
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return CharacterSet(counted=counted, counts=tuple(ordered))


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece
