"""What the parts share: an API without workers, pages, and the summary of times."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page
from pydantic import SecretStr

from shared.broker import CeleryBroker
from shared.db.session import SessionFactory, make_engine, session_factory
from shared.db.tables import Base
from shared.settings import Settings
from shared.storage import Storage
from tests.api.live import Server, serve
from tests.api.worker_hands import WorkerWrites
from tests.servers import valkey


@dataclass(frozen=True)
class Api:
    """An API process with a database and Redis of its own. worker: writes what a worker would write."""

    server: Server
    settings: Settings
    sessions: SessionFactory
    broker: CeleryBroker
    worker: WorkerWrites


@contextmanager
def api() -> Iterator[Api]:
    """An API with default settings on SQLite and an embedded Redis, until the block ends."""
    with tempfile.TemporaryDirectory() as folder, valkey() as redis:
        home = Path(folder) / "home"
        settings = Settings(home=home, datasets_dir=None, redis_url=SecretStr(redis.url))
        home.mkdir()
        engine = make_engine(settings)
        Base.metadata.create_all(engine)
        sessions, broker = session_factory(engine), CeleryBroker(settings)
        worker = WorkerWrites(settings, sessions, Storage.open_url(settings.resolved_storage_url), broker)
        with serve(settings) as server:
            yield Api(server, settings, sessions, broker, worker)
        engine.dispose()


@contextmanager
def fresh_page(browser: Browser) -> Iterator[Page]:
    """A page in a profile of its own, without a cache."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        context.set_default_timeout(120_000)
        yield context.new_page()


def summary(title: str, times_ms: Sequence[float], most: float = 95) -> dict[str, Any]:
    """Print and return number, median and a high percentile of times in ms."""
    if not times_ms:
        raise RuntimeError(f"{title}: nothing was measured")
    middle, high = np.percentile(times_ms, [50, most])
    print(f"  {title:36} {len(times_ms):5d} ×   p50 {middle:7.1f} ms   p{most:.0f} {high:7.1f} ms", flush=True)
    return {"count": len(times_ms), "p50_ms": round(middle, 1), f"p{most:.0f}_ms": round(high, 1)}
