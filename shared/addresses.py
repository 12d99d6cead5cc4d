"""Types of the settings that are addresses: the public URL (None when empty), host names, origins of web pages."""

from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

DEFAULT_PORTS = {"http": 80, "https": 443}


def split_http(text: str) -> SplitResult:
    """The parts of an HTTP URL. Raises ValueError for another scheme, or without a host."""
    parts = urlsplit(text)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.port == 0:
        raise ValueError("it must start with http:// or https:// and a host")
    return parts


def host_name(authority: str) -> str | None:
    """The lower-case host of `HOST` or `HOST:PORT`, without brackets and final dot; None when it is malformed."""
    if not authority or any(sign in authority for sign in "/\\@?#,%") or not authority.isascii():
        return None
    if any(sign.isspace() or not sign.isprintable() for sign in authority):
        return None
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port  # raises ValueError for a malformed port
    except ValueError:
        return None
    return (parts.hostname or "").removesuffix(".") or None


def origin_of(text: str) -> str:
    """The serialised origin of an HTTP URL: `https://example.org`, without a default port. Raises ValueError."""
    parts = split_http(text)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = parts.port
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != DEFAULT_PORTS[parts.scheme] else "")


def _public_url(text: str) -> str:
    parts = split_http(text)
    if parts.query or parts.fragment or parts.username is not None or not text.isascii() or " " in text:
        raise ValueError("it may have a path, but no user, query or fragment, and is written in ASCII without spaces")
    return text


def _listed(given: Any) -> Any:
    """The items of a text such as `a, b`; empty items are left out."""
    return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given


def _allowed_host(text: str) -> str:
    name = text.lower()
    if name != "*" and host_name(name.removeprefix(".")) != name.removeprefix(".").strip("[]"):
        raise ValueError(f"{text!r} is not a host name; write names without scheme and port, such as gpu-box")
    return name.strip("[]")


def _cors_origin(text: str) -> str:
    parts = split_http(text)
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{text!r} is not an origin; write it like https://pages.example.org or http://localhost:3000")
    return origin_of(text)


Listed = (NoDecode, BeforeValidator(_listed))  # of a tuple of texts
PublicUrl = Annotated[Annotated[str, AfterValidator(_public_url)] | None, BeforeValidator(lambda text: text or None)]
HostNames = Annotated[tuple[Annotated[str, AfterValidator(_allowed_host)], ...], NoDecode, BeforeValidator(_listed)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_cors_origin)], ...], NoDecode, BeforeValidator(_listed)]
