"""The longest passage that two texts have in common, character by character."""

from collections.abc import Sequence

MOST_CHARACTERS = 10_000_000  # of the text that is searched


def longest_overlap(passages: Sequence[str], text: str) -> int:
    """Characters of the longest string that occurs in one of the passages and in the text's first ten million.

    A shared string of one length contains shared strings of every smaller length. The length is doubled until no n-gram
    of it is shared, and then found by bisection; each length takes one pass over the text.
    """
    searched = text[:MOST_CHARACTERS]

    def is_shared(length: int) -> bool:
        grams = {passage[i : i + length] for passage in passages for i in range(len(passage) - length + 1)}
        return bool(grams) and any(searched[i : i + length] in grams for i in range(len(searched) - length + 1))

    above = 1
    while is_shared(above):
        above *= 2
    longest = above // 2
    while above - longest > 1:
        middle = (longest + above) // 2
        if is_shared(middle):
            longest = middle
        else:
            above = middle
    return longest


def spread(text: str, *, count: int, length: int) -> list[str]:
    """Passages of a text, evenly spread from its beginning to its end; fewer where they would overlap."""
    most = max(1, min(count, len(text) // length))
    gap = (len(text) - length) // (most - 1) if most > 1 else 0
    return [text[place * gap :][:length] for place in range(most)]
