"""Which URLs a webhook may have, and which addresses a delivery may reach."""

import socket

import pytest

from shared.webhooks import targets
from shared.webhooks.targets import ForbiddenTarget


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/", "file:///etc/passwd", "gopher://example.org/", "//example.org/", "example.org", "",
        "http://", "https:///x", "http://user@example.org/", "http://user:password@example.org/", "http://:@x.org/",
        "http://example.org/#fragment", "http://example.org:0/", "http://example.org:99999/", "http://exa mple.org/",
        "http://example.org/a b", "http://example.org\\@evil.example/", "http://example.org/\r\nHost: x", "http://ex\u0430mple.org/",
        "http://[::1", "http://[fe80::1%25eth0]/", "http://-a.org/", f"http://{'a' * 64}.org/", "http://a..b/", "http://%31/",
    ],
)  # fmt: skip
def test_url_without_a_plain_http_host_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - from several places
        targets.parse(url)


def test_parts_of_a_url() -> None:
    target = targets.parse("https://Example.org./a/b?c=d")
    assert (target.host, target.port, target.path, target.is_encrypted) == ("example.org", 443, "/a/b?c=d", True)
    assert targets.parse("http://[2606:4700::1111]:8080").host == "2606:4700::1111"


HOSTILE = [
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]",
    "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::808:808]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]",
    "[2001:0:1::1]", "[2001:db8::1]", "[fec0::1]", "[100::1]",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTILE)
def test_address_that_is_not_public_is_refused(host: str) -> None:
    with pytest.raises(ForbiddenTarget):
        targets.resolve(targets.parse(f"http://{host}/"), ())


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "localhost", "0"])
def test_other_spellings_of_loopback_are_refused(host: str) -> None:
    with pytest.raises((ForbiddenTarget, ValueError, socket.gaierror)):
        targets.resolve(targets.parse(f"http://{host}/"), ())


@pytest.mark.parametrize("host", ["8.8.8.8", "1.1.1.1", "[2606:4700:4700::1111]"])
def test_public_address_is_permitted(host: str) -> None:
    assert len(targets.resolve(targets.parse(f"http://{host}/"), ())) == 1


@pytest.mark.parametrize(
    ("host", "allowed", "is_permitted"),
    [
        ("10.1.2.3", ("10.1.0.0/16",), True),
        ("10.2.2.3", ("10.1.0.0/16",), False),
        ("127.0.0.1", ("127.0.0.1",), True),
        ("[::1]", ("::1",), True),
        ("[::ffff:10.1.2.3]", ("10.1.0.0/16",), False),
        ("localhost", ("localhost",), True),
        ("localhost", (".localhost",), False),
        ("localhost", ("otherhost",), False),
    ],
)
def test_setting_allows_names_and_networks(host: str, allowed: tuple[str, ...], is_permitted: bool) -> None:
    target = targets.parse(f"http://{host}/")
    if is_permitted:
        assert targets.resolve(target, allowed)
    else:
        with pytest.raises(ForbiddenTarget):
            targets.resolve(target, allowed)


def test_every_address_of_a_name_must_be_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
    with pytest.raises(ForbiddenTarget):
        targets.resolve(targets.parse("http://both.example/"), ())
