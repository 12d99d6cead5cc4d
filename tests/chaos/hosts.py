"""Hosts as network namespaces of this machine, joined to a bridge by links that tests cut, slow and make lossy.

The servers run outside the namespaces, at the bridge's address. It needs root, `ip`, `tc` and `iptables`.
"""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.postgresql import Server, server
from tests.servers import Valkey, valkey

NEEDED = ("ip", "tc", "iptables", "unshare")
_SERIALS = itertools.count(1)  # of the hosts of this process
_SLOW = "rate 48kbit burst 4kbit latency 2s"  # a heartbeat takes a second


def missing() -> str | None:
    """Why no hosts can be made here, or None."""
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        return f"needs {', '.join(absent)}"
    if os.getuid() != 0:
        return "needs root, to make network namespaces"
    probe = f"mimeo-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"needs network namespaces: {made.stderr.strip()}"
    _run("ip", "netns", "del", probe)
    return None


class Host:
    """One host, with a name, an address and a home of its own."""

    def __init__(self, network: "Network", number: int, home: Path) -> None:
        self.name = f"host{number}"
        self.home = home / self.name
        self.home.mkdir(parents=True)
        serial = next(_SERIALS)  # the kernel removes a namespace and its link some time after their names are free
        self._namespace = f"{network.name}-{serial}"
        self._link = f"{network.name}n{serial}"
        address = f"{network.prefix}.{10 + number}/24"
        _run("ip", "netns", "add", self._namespace)
        _run("ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self._namespace)
        _run("ip", "link", "set", self._link, "master", network.name, "up")
        self._inside("ip", "address", "add", address, "dev", "eth0")
        for device in ("lo", "eth0"):
            self._inside("ip", "link", "set", device, "up")

    @property
    def prefix(self) -> list[str]:
        """Words before a command that runs on this host."""
        named = f'hostname {self.name}; exec "$@"'
        return ["ip", "netns", "exec", self._namespace, "unshare", "--uts", "sh", "-c", named, "sh"]

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process that runs on this host."""
        return {"MIMEO_HOME": str(self.home)}

    def drop(self, *, outgoing: float = 0, incoming: float = 0) -> None:
        """Lose packets of each direction with these probabilities, until `heal`."""
        for chain, probability in (("OUTPUT", outgoing), ("INPUT", incoming)):
            if probability:
                chosen = ("-m", "statistic", "--mode", "random", "--probability", str(probability))
                words = () if probability == 1 else chosen
                self._inside("iptables", "-w", "-A", chain, *words, "-j", "DROP")

    def slow(self) -> None:
        """Carry a few kilobytes a second to the servers, until `heal`."""
        self._inside("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *_SLOW.split())

    def unplug(self) -> None:
        """Take the link down, until `heal`."""
        _run("ip", "link", "set", self._link, "down")

    def heal(self) -> None:
        """Undo every fault of the link."""
        self._inside("iptables", "-w", "-F")
        subprocess.run(
            ["ip", "netns", "exec", self._namespace, "tc", "qdisc", "del", "dev", "eth0", "root"],
            capture_output=True,
            check=False,
        )
        _run("ip", "link", "set", self._link, "up")

    def remove(self) -> None:
        """Remove the host. Its processes have to be stopped before."""
        _run("ip", "link", "del", self._link)
        _run("ip", "netns", "del", self._namespace)

    def _inside(self, *command: str) -> None:
        _run("ip", "netns", "exec", self._namespace, *command)


class Network:
    """A bridge with an address of its own. prefix: the first three numbers of its addresses."""

    def __init__(self) -> None:
        number = os.getpid()
        self.name = f"mm{number % 10**7}"  # names of links have at most 15 characters
        self.prefix = f"10.{100 + number // 250 % 100}.{number % 250}"
        self.address = f"{self.prefix}.1"
        _run("ip", "link", "add", self.name, "type", "bridge")
        _run("ip", "address", "add", f"{self.address}/24", "dev", self.name)
        _run("ip", "link", "set", self.name, "up")

    def remove(self) -> None:
        """Remove the bridge."""
        _run("ip", "link", "del", self.name)


@contextmanager
def network() -> Iterator[Network]:
    """A bridge, until the block ends."""
    made = Network()
    try:
        yield made
    finally:
        made.remove()


@contextmanager
def hosts(joined: Network, count: int, home: Path) -> Iterator[list[Host]]:
    """Hosts on the network, until the block ends."""
    made: list[Host] = []
    try:
        made.extend(Host(joined, number, home) for number in range(1, count + 1))
        yield made
    finally:
        for host in made:
            host.remove()


@contextmanager
def database_at(address: str) -> Iterator[Server]:
    """A PostgreSQL server that hosts reach at an address."""
    with server() as running:
        running.listen(address)
        yield running


@contextmanager
def redis_at(address: str) -> Iterator[Valkey]:
    """A Valkey server that hosts reach at an address."""
    with valkey(address=address) as running:
        yield running


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
