"""Mutations of bytes and of JSON values."""

import copy
import json
import random
from typing import Any

TEXTS = [
    "", " ", "\x00", "\x1b[31m", "a\r\nb", "\u202e", "é", "e\u0301", "😀" * 50, "a" * 5_000, "../../etc/passwd", "%00",
    "null", "NaN", "' OR 1=1 --", "{{7*7}}", "${jndi:ldap://x}", "<script>", "mdl_" + "0" * 26, "trn_x", "~0~1",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, -(2**64), 10**400, 0.5, -0.0, 1e308, 1e-320, [], {}, [[]], [None],
    {"": None}, {"a": {"b": {"c": []}}}, [1] * 2_000, {str(number): number for number in range(300)},
]  # fmt: skip
PIECES = [
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b'"',
    b"{",
    b"}",
    b"[" * 300,
    b"1e999",
    b"NaN",
    b"\\ud800",
    b",,",
    b"\r\n\r\n",
    b"--",
    b"%",
]


def deep(depth: int) -> Any:
    """Nested lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def any_value(chance: random.Random) -> Any:
    """A value that a field rarely expects."""
    if chance.random() < 0.02:
        return deep(chance.choice([50, 500]))
    return copy.deepcopy(chance.choice([*TEXTS, *VALUES]))  # later mutations change it


def mutated_json(value: Any, chance: random.Random) -> Any:
    """A copy with one to three members replaced, removed, renamed, added or doubled."""
    found = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        node, key = _place(found, chance)
        if node is None:
            return any_value(chance)
        match chance.randrange(5):
            case 0:
                node[key] = any_value(chance)
            case 1:
                del node[key]
            case 2 if isinstance(node, dict):
                node[str(key)[:-1] or "x"] = node.pop(key)
            case 3 if isinstance(node, dict):
                node[chance.choice(TEXTS)] = any_value(chance)
            case _:
                node[key] = [node[key], node[key]]
    return found


def _place(value: Any, chance: random.Random) -> tuple[Any, Any]:
    """A random container within the value and one of its keys; (None, None) for a value without members."""
    node, key = None, None
    while isinstance(value, dict | list) and value:
        node = value
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value = value[key]
        if chance.random() < 0.4:
            break
    return node, key


def mutated_bytes(data: bytes, chance: random.Random) -> bytes:
    """The bytes after one to four changes: a flipped bit, an insertion, a cut, a repetition, a truncation."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(found))
        end = min(len(found), at + chance.randint(1, 20))
        match chance.choices(range(5), weights=[5, 4, 3, 2, 1])[0]:
            case 0 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 2:
                del found[at:end]
            case 3:
                found[at:at] = bytes(found[at:end]) * 3
            case 4:
                del found[at:]
            case _:
                found[at:at] = chance.choice(PIECES)
    return bytes(found)


def encoded(value: Any) -> bytes:
    """JSON, with lone surrogates as escapes."""
    return json.dumps(value).encode()
