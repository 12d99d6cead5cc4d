"""Prefixed, sortable ids: `trn_` + 26 characters of ULID (48-bit milliseconds, 80 random bits; Crockford base 32)."""

import re
import secrets
import time
from typing import Literal

Prefix = Literal["trn", "gen", "mdl", "art", "ckp", "imp", "dst", "wrk", "rqs", "hld", "whd"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID = re.compile(r"[a-z]{3}_[0-9a-z]{26}")


def new_id(prefix: Prefix) -> str:
    """A fresh id. Ids made in different milliseconds sort by time."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    digits = [_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5)]
    return f"{prefix}_{''.join(digits)}"


def is_id(text: str, *prefixes: Prefix) -> bool:
    """Whether the text has the form of an id with one of the prefixes. Other texts never reach the database."""
    return _ID.fullmatch(text) is not None and text[:3] in prefixes
