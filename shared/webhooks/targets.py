"""The URL of a webhook: its form, and which hosts and addresses a delivery may reach."""

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from shared.addresses import DEFAULT_PORTS

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_UNICAST = IPv6Network("2000::/3")
# Addresses of IPv6 that stand for one of IPv4: 6to4, Teredo. Mapped ones and NAT64 are outside 2000::/3.
_TUNNELS = (IPv6Network("2002::/16"), IPv6Network("2001::/32"))


class ForbiddenTarget(Exception):
    """A delivery may not be sent to this host."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The parts of a webhook's URL. path: with the query."""

    is_encrypted: bool
    host: str
    port: int
    path: str


def parse(url: str) -> Target:
    """The parts of a URL. Raises ValueError for one that cannot be a webhook's."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("write it in ASCII, without spaces and backslashes; encode other characters")
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("it must start with https:// or http://")
    if parts.username is not None or parts.password is not None or "#" in url:
        raise ValueError("it may not contain a user, a password or a fragment")
    host = (parts.hostname or "").removesuffix(".")
    if "%" in host or not (literal(host) or (len(host) <= 253 and _HOST_NAME.fullmatch(host))):
        raise ValueError("it has no valid host")
    port = parts.port  # raises ValueError
    if port == 0:
        raise ValueError("it has no valid port")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(is_encrypted=parts.scheme == "https", host=host, port=port or DEFAULT_PORTS[parts.scheme], path=path)


def literal(host: str) -> Address | None:
    """The address that a host is written as; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public Internet, in its own form."""
    if address.is_multicast or address.is_reserved or address.is_unspecified or not address.is_global:
        return False
    if isinstance(address, IPv4Address):
        return True
    return address.scope_id is None and address in _UNICAST and not any(address in tunnel for tunnel in _TUNNELS)


def allowed_target(text: str) -> str:
    """An item of the setting: a name, a `.suffix`, an address or a network. Raises ValueError."""
    name = text.lower()
    try:
        ip_network(name, strict=False)
    except ValueError:
        if not _HOST_NAME.fullmatch(name.removeprefix(".")):
            raise ValueError(f"{text!r} is neither a host name nor a network such as 10.0.0.0/8") from None
    return name


def is_host_allowed(host: str, allowed: Iterable[str]) -> bool:
    """Whether a setting names the host, by `name` or by `.suffix`."""
    names = [name.lower() for name in allowed]
    return any(host == name or (name.startswith(".") and host.endswith(name)) for name in names)


def check(host: str, address: Address, allowed: Iterable[str]) -> None:
    """Raises ForbiddenTarget for an address that is neither public nor allowed."""
    if is_public(address) or is_host_allowed(host, allowed):
        return
    if not any(address in network for network in _networks(allowed)):
        hint = "MIMEO_WEBHOOK_ALLOWED_HOSTS can allow it"
        raise ForbiddenTarget(f"{host} has the address {address}, which is not public; {hint}")


def resolve(target: Target, allowed: Iterable[str]) -> list[Address]:
    """The addresses of a target, all of them permitted. Raises ForbiddenTarget, OSError for an unknown name."""
    known = literal(target.host)
    addresses = [known] if known else _look_up(target)
    for address in addresses:
        check(target.host, address, allowed)
    return addresses


def _look_up(target: Target) -> list[Address]:
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(entry[4][0])) for entry in found))


def _networks(allowed: Iterable[str]) -> list[Network]:
    found: list[Network] = []
    for item in allowed:
        try:
            found.append(ip_network(item, strict=False))
        except ValueError:
            continue
    return found
