"""Time of one scrape of /metrics beside a table of jobs, on both databases: `python -m benchmarks.scrape`.

Twice: with 2 % of the jobs waiting, and with all of them waiting.
"""

import argparse
import tempfile
import time
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import create_engine, text

from api.app import create_app
from benchmarks.engine import postgresql, spread, table_of
from shared.broker import NullBroker
from shared.settings import Settings


def scrapes(url: str, count: int, times: int, folder: Path) -> None:
    """Measure a database of its own and print p50 and p95."""
    with table_of(url, count, folder) as table:
        for state in ("2 % waiting", "all waiting"):
            if state == "all waiting":
                with table.engine.begin() as connection:
                    connection.execute(text("UPDATE jobs SET status = 'queued', not_before = NULL"))
                if table.engine.dialect.name == "postgresql":
                    vacuum(url)
            app = create_app(Settings(home=folder / "api", database_url=SecretStr(url)), broker=NullBroker())
            client = app.test_client()
            client.get("/metrics")
            seconds = []
            for _ in range(times):
                started = time.perf_counter()
                size = len(client.get("/metrics").data)
                seconds.append(time.perf_counter() - started)
            app.extensions["mimeo"].close()
            found = spread(seconds)
            print(f"{table.engine.dialect.name}, {count:,} jobs, {state}: p50 {found['p50']:.0f} ms, "
                  f"p95 {found['p95']:.0f} ms, {size:,} bytes")  # fmt: skip


def vacuum(url: str) -> None:
    """What autovacuum does later."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def main() -> None:
    """Measure each size on each database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mimeo-scrape-") as name:
        folder = Path(name)
        for count in options.rows:
            scrapes(f"sqlite:///{folder / f'{count}.db'}", count, options.times, folder)
        with postgresql() as create:
            for count in options.rows:
                scrapes(create(count), count, options.times, folder)


if __name__ == "__main__":
    main()
