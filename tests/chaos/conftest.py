"""Each fault is tried MIMEO_CHAOS_RUNS times (1), each time with other timing, on SQLite and PostgreSQL in turn.

The variations come from `chance`, which is seeded with the test's name and the number of the run, so that a failed run
can be repeated by its name. MIMEO_CHAOS_FROM=7 skips the runs before run7, to continue an interrupted campaign.
MIMEO_CHAOS_LONG=1 uses outages of realistic length.
"""

import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.chaos.postgresql import Server, server
from tests.chaos.rig import MakeRig, Rig

FIRST = int(os.environ.get("MIMEO_CHAOS_FROM", "0"))
RUNS = int(os.environ.get("MIMEO_CHAOS_RUNS", "1"))
IS_LONG = os.environ.get("MIMEO_CHAOS_LONG", "0") == "1"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "run" in metafunc.fixturenames:
        metafunc.parametrize("run", range(FIRST, RUNS), ids=lambda number: f"run{number}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(1800 if IS_LONG else 600))

    # The first run of each fault before the second of any, so that an interrupted campaign has tried all faults. The
    # longest come first among them, so that none runs alone at the end.
    def place(item: pytest.Item) -> tuple[int, bool]:
        run = item.callspec.params.get("run", 0) if hasattr(item, "callspec") else 0
        return run, item.get_closest_marker("starts_first") is None

    items.sort(key=place)


@pytest.fixture
def chance(request: pytest.FixtureRequest, run: int) -> random.Random:
    """The random numbers of this run's variations."""
    return random.Random(f"{request.node.originalname} {run}")


@pytest.fixture
def database_kind(request: pytest.FixtureRequest, run: int) -> str:
    """SQLite for one half of the faults and PostgreSQL for the other; the next run swaps them."""
    return ("sqlite", "postgresql")[(run + zlib.crc32(request.node.originalname.encode())) % 2]


@pytest.fixture
def outage_s() -> float:
    """Duration of a long outage of a server."""
    return 120.0 if IS_LONG else 3.0


@pytest.fixture
def valkey() -> Iterator[servers.Valkey]:
    """A Valkey server of this test."""
    with servers.valkey() as server:
        yield server


@pytest.fixture(scope="session")
def restartable() -> Iterator[Server]:
    """A PostgreSQL server that tests may restart."""
    with server() as running:
        yield running


@pytest.fixture
def make_rig(database_url: str, valkey: servers.Valkey, tmp_path: Path) -> Iterator[MakeRig]:
    """A factory of the test's rig, with settings of the test's choice. The rig's results are checked at the end."""
    made: list[Rig] = []

    def make(**options: Any) -> Rig:
        (tmp_path / "home").mkdir(exist_ok=True)
        made.append(Rig(tmp_path / "home", options.pop("database_url", database_url), valkey, **options))
        return made[0]

    try:
        yield make
        for rig in made:
            rig.settle()
    finally:
        for rig in made:
            rig.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    """A stack without processes, with short leases."""
    return make_rig()


@pytest.fixture
def patient_rig(make_rig: MakeRig) -> Rig:
    """A stack for faults that expire no lease, also on a busy machine."""
    return make_rig(lease_s=60.0)
