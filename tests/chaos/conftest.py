"""Every fault is tried MIMEO_CHAOS_RUNS times (1), each time with other timing, on SQLite and PostgreSQL in turn.

What varies comes from `chance`, which is seeded with the test's name and the number of the run: a run that failed is
tried again by its name. MIMEO_CHAOS_FROM=7 leaves out the runs before run7: a campaign that was broken off goes on.
MIMEO_CHAOS_LONG=1 makes outages as long as they are in life.
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

    # The first run of every fault before the second of any: a campaign that is broken off has tried them all. The
    # longest first among them, so that none is left to run alone at the end.
    def place(item: pytest.Item) -> tuple[int, bool]:
        run = item.callspec.params.get("run", 0) if hasattr(item, "callspec") else 0
        return run, item.get_closest_marker("starts_first") is None

    items.sort(key=place)


@pytest.fixture
def chance(request: pytest.FixtureRequest, run: int) -> random.Random:
    """Where this run's variations come from."""
    return random.Random(f"{request.node.originalname} {run}")


@pytest.fixture
def database_kind(request: pytest.FixtureRequest, run: int) -> str:
    """SQLite for one half of the faults and PostgreSQL for the other, the other way round in the next run."""
    return ("sqlite", "postgresql")[(run + zlib.crc32(request.node.originalname.encode())) % 2]


@pytest.fixture
def outage_s() -> float:
    """How long a server is away that is away for long."""
    return 120.0 if IS_LONG else 3.0


@pytest.fixture
def valkey() -> Iterator[servers.Valkey]:
    """A Valkey server of the test's own."""
    with servers.valkey() as server:
        yield server


@pytest.fixture(scope="session")
def restartable() -> Iterator[Server]:
    """A PostgreSQL server that may be restarted."""
    with server() as running:
        yield running


@pytest.fixture
def make_rig(database_url: str, valkey: servers.Valkey, tmp_path: Path) -> Iterator[MakeRig]:
    """Makes the test's one rig, with settings of the test's choice. What it leaves is checked at the end."""
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
    """A stack without a process yet, whose leases run out soon."""
    return make_rig()


@pytest.fixture
def patient_rig(make_rig: MakeRig) -> Rig:
    """A stack for faults that cost nobody a lease, on however busy a machine."""
    return make_rig(lease_s=60.0)
