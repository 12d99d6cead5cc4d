"""Signatures of the Standard Webhooks specification: HMAC-SHA256 over id, time and body."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64


def keys(secrets: str) -> list[bytes]:
    """The keys in a setting: one or more `whsec_…`, separated by spaces. The first is the current one.

    Raises ValueError for a secret that is not `whsec_` and the base64 of 24 to 64 bytes.
    """
    found = [_key(secret) for secret in secrets.split()]
    if not found:
        raise ValueError("it is empty")
    return found


def headers(message_id: str, timestamp: int, body: bytes, signing_keys: Sequence[bytes]) -> dict[str, str]:
    """The headers of a delivery, with one signature for each key. timestamp: seconds since 1970 UTC."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in signing_keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{digest}" for digest in digests),
    }


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise ValueError(f"a secret is {PREFIX} and the base64 of {_LEAST_BYTES} to {_MOST_BYTES} random bytes")
    return key
