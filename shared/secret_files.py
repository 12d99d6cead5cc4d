"""Passwords from files, joined with the URLs of the servers that ask for them."""

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from shared.errors import SetupError

_MOST_BYTES = 4096


def read_secret(path: Path, variable: str) -> str:
    """The one line in a file, without its line end.

    Raises SetupError, with the variable, where the file cannot be read or does not have exactly one line of text.
    """
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise SetupError(f"{variable}: {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise SetupError(f"{variable}: {path} is not a text file.") from None
    secret = text.rstrip("\r\n")
    if not secret:
        raise SetupError(f"{variable}: {path} is empty.")
    if len(content) > _MOST_BYTES or not secret.isprintable():
        raise SetupError(f"{variable}: {path} must have one line of at most {_MOST_BYTES} bytes.")
    return secret


def with_password(url: str | None, file: Path, name: str) -> str:
    """The URL with the password from the file. name: of both variables, such as `MIMEO_DATABASE`.

    Raises SetupError where the file is bad, and where the URL is missing, has a password or has no host.
    """
    if url is None:
        raise SetupError(f"{name}_PASSWORD_FILE is set, but {name}_URL is not.")
    password = read_secret(file, f"{name}_PASSWORD_FILE")
    parts = urlsplit(url)
    user, _at, host = parts.netloc.rpartition("@")
    if not host:
        raise SetupError(f"{name}_PASSWORD_FILE is set, but {name}_URL has no host that could ask for a password.")
    if ":" in user:
        raise SetupError(f"{name}_URL contains a password, and {name}_PASSWORD_FILE is set: keep one of them.")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))
