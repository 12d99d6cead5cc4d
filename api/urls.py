"""Links in responses: paths on this server, or under `public_url` behind a proxy."""

from api.runtime import runtime


def url(path: str) -> str:
    """The address of a path of this API, such as `/v1/models`."""
    base = runtime().settings.public_url
    return base.rstrip("/") + path if base else path
