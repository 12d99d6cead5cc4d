"""The longest passage that two texts have in common, character by character.

A suffix automaton of the passages (Blumer et al. 1985) processes the other text once, so the time grows with the sum
of the lengths: about a second for a million characters.
"""

from collections.abc import Sequence

MOST_CHARACTERS = 10_000_000  # of the text that is searched: ten seconds


def longest_overlap(passages: Sequence[str], text: str) -> int:
    """Characters of the longest string that occurs in one of the passages and in the text's first ten million."""
    transitions, links, lengths = _automaton(passages)
    longest = state = length = 0
    for character in text[:MOST_CHARACTERS]:
        while state and character not in transitions[state]:
            state = links[state]
            length = lengths[state]
        following = transitions[state].get(character)
        if following is not None:
            state = following
            length += 1
            longest = max(longest, length)
    return longest


def spread(text: str, *, count: int, length: int) -> list[str]:
    """Passages of a text, evenly spread from its beginning to its end; fewer where they would overlap."""
    most = max(1, min(count, len(text) // length))
    gap = (len(text) - length) // (most - 1) if most > 1 else 0
    return [text[place * gap :][:length] for place in range(most)]


def _automaton(passages: Sequence[str]) -> tuple[list[dict[str, int]], list[int], list[int]]:
    """For the substrings of all passages: transitions of each state, its suffix link (-1 at the root), its length."""
    transitions: list[dict[str, int]] = [{}]
    links, lengths = [-1], [0]

    def state_of(following: dict[str, int], link: int, length: int) -> int:
        transitions.append(following)
        links.append(link)
        lengths.append(length)
        return len(links) - 1

    def split(above: int, character: str) -> int:
        """The state that `above` reaches with the character, split so that it stands for no longer substrings."""
        found = transitions[above][character]
        if lengths[found] == lengths[above] + 1:
            return found
        clone = state_of(dict(transitions[found]), links[found], lengths[above] + 1)
        links[found] = clone
        while above >= 0 and transitions[above].get(character) == found:
            transitions[above][character] = clone
            above = links[above]
        return clone

    for passage in passages:
        last = 0  # each passage starts anew, so that no match runs across two
        for character in passage:
            if character in transitions[last]:
                last = split(last, character)
                continue
            new = state_of({}, 0, lengths[last] + 1)
            above = last
            while above >= 0 and character not in transitions[above]:
                transitions[above][character] = new
                above = links[above]
            links[new] = split(above, character) if above >= 0 else 0
            last = new
    return transitions, links, lengths
