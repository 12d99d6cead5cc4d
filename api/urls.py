"""Links in responses: paths on this server, or under `public_url` behind a proxy."""

from urllib.parse import urlsplit

from api.runtime import runtime
from shared.settings import Settings


def url(path: str) -> str:
    """The address of a path of this API, such as `/v1/models`."""
    base = runtime().settings.public_url
    return base.rstrip("/") + path if base else path


def prefix(settings: Settings) -> str:
    """The path of the public URL without its final slash: `/mimeo`, or nothing."""
    return urlsplit(settings.public_url or "").path.rstrip("/")
