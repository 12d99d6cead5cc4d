"""Locations of pydantic's errors in a JSON document, and the errors of a union reduced to one branch.

A location of pydantic has parts that the document has not: tags of discriminated unions and names of union branches.
The JSON Schema of the validating class shows which parts these are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]
Part = int | str

# Errors of a value that cannot belong to the branch at all, unlike a value that is out of bounds.
_MISMATCHES = frozenset({"literal_error", "enum"})

_SHORT = frozenset({"too_short", "missing"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """An error of pydantic with its place in the document.

    details: of pydantic. path: keys and indices. unions: for each union on the way, the length of the path at the union
    and the name of the branch. nodes: schemas of the place; `parents`: of the value around it.
    """

    details: Any
    path: tuple[Part, ...]
    unions: tuple[tuple[int, str], ...]
    nodes: tuple[Schema, ...]
    parents: tuple[Schema, ...]

    @property
    def is_mismatch(self) -> bool:
        """Whether the value has another type than the schema."""
        kind: str = self.details["type"]
        return kind.endswith("_type") or kind in _MISMATCHES


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """A value that is of no branch of a union. expected: schemas of the branches. value: the input."""

    path: tuple[Part, ...]
    expected: tuple[Schema, ...]
    value: Any


def locate(details: Any, schema: Schema) -> Located:
    """The place of an error. schema: JSON Schema of the class; empty: all parts of the location are keys or indices."""
    nodes = parents = tuple(_expand(schema, schema)) if schema else ()
    path: list[Part] = []
    unions: list[tuple[int, str]] = []
    entered = is_map = False
    for part in details["loc"]:
        if (tagged := _tagged(nodes, part, schema)) is not None:
            nodes = tagged
        elif isinstance(part, str) and not entered and len(nodes) > 1:
            unions.append((len(path), part))
            entered = True
        elif part == "[key]" and is_map:  # the key itself is invalid
            break
        else:
            path.append(part)
            parents, (nodes, is_map), entered = nodes, _step(nodes, part, schema), False
    if details["type"] == "missing" and isinstance(path[-1], int):  # the array is too short
        path, nodes = path[:-1], parents
    return Located(details=details, path=tuple(path), unions=tuple(unions), nodes=nodes, parents=parents)


def _tagged(nodes: Sequence[Schema], part: Part, root: Schema) -> tuple[Schema, ...] | None:
    """Schemas of a discriminated union's member, where the part is its tag."""
    for node in nodes:
        reference = node.get("discriminator", {}).get("mapping", {}).get(part)
        if reference is not None:
            return tuple(_expand({"$ref": reference}, root))
    return None


def _step(nodes: Sequence[Schema], part: Part, root: Schema) -> tuple[tuple[Schema, ...], bool]:
    """Schemas of the value under a key or index, and whether the key is that of a map with keys of any name."""
    found: list[Schema] = []
    is_map = False
    for node in nodes:
        if isinstance(part, int):
            items = node.get("prefixItems", [])
            inner = items[part] if part < len(items) else node.get("items")
        else:
            inner = node.get("properties", {}).get(part)
            if inner is None and isinstance(node.get("additionalProperties"), dict):
                inner, is_map = node["additionalProperties"], True
        if isinstance(inner, dict):
            found += _expand(inner, root)
    return tuple(found), is_map


def _expand(node: Schema, root: Schema) -> Iterator[Schema]:
    """The schema with its reference resolved, or the members of its `anyOf` except null."""
    reference = node.get("$ref")
    if isinstance(reference, str):
        yield from _expand(root.get("$defs", {}).get(reference.rsplit("/", 1)[-1], {}), root)
    elif "anyOf" in node:
        for member in node["anyOf"]:
            if member.get("type") != "null":
                yield from _expand(member, root)
    else:
        yield node


def one_each(errors: Sequence[Located]) -> list[Located | Mismatch]:
    """One error for each mistake: of a union those of one branch, and no short array because of its invalid items."""
    found = one_branch_each(errors)
    around = {error.path[:length] for error in found for length in range(len(error.path))}
    first: dict[tuple[Part, ...], Located | Mismatch] = {}
    for error in found:
        if isinstance(error, Mismatch) or error.details["type"] not in _SHORT or error.path not in around:
            first.setdefault(error.path, error)
    return list(first.values())


def one_branch_each(errors: Sequence[Located], level: int = 0) -> list[Located | Mismatch]:
    """The errors, for each union only those of the branch that fits best; a Mismatch where none fits.

    The best branch has no mismatch at the union itself, then the fewest mismatches, then the fewest errors.
    """
    kept: list[Located | Mismatch] = []
    unions: dict[tuple[Part, ...], dict[str, list[Located]]] = {}
    places: dict[tuple[Part, ...], int] = {}
    for error in errors:
        if len(error.unions) <= level:
            kept.append(error)
            continue
        length, branch = error.unions[level]
        place = error.path[:length]
        if place not in unions:
            unions[place] = {}
            places[place] = len(kept)
            kept.append(error)  # replaced below
        unions[place].setdefault(branch, []).append(error)
    chosen = {places[place]: _chosen(place, branches, level) for place, branches in unions.items()}
    return [error for at, first in enumerate(kept) for error in chosen.get(at, [first])]


def _chosen(place: tuple[Part, ...], branches: dict[str, list[Located]], level: int) -> list[Located | Mismatch]:
    best = min(branches.values(), key=lambda errors: _rank(place, errors))
    if len(branches) > 1 and _rank(place, best)[0]:
        first = best[0]
        return [Mismatch(path=place, expected=first.nodes, value=first.details["input"])]
    return one_branch_each(best, level + 1)


def _rank(place: tuple[Part, ...], errors: Sequence[Located]) -> tuple[bool, int, int]:
    mismatches = [error for error in errors if error.is_mismatch]
    return any(len(error.path) == len(place) for error in mismatches), len(mismatches), len(errors)
