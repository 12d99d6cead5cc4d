"""Throughput and latency of the engine alone, with jobs that do nothing: `python -m benchmarks.engine`.

Three tables hold 1,000, 100,000 and 1,000,000 jobs; 98 % of the jobs have ended and the newest wait. Each round does
every operation once on each table, so that other load on the machine affects all sizes alike. An operation is one
transaction of the API or of a worker. Then one and four threads submit jobs, and claim, renew and finish them, at full
speed. Databases are durable (SQLite synchronous=FULL, PostgreSQL with fsync).

Figures go to benchmarks/results/engine.json and engine.md.
"""

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import create_engine, make_url, text

from benchmarks.engine_rows import fill
from benchmarks.engine_table import Table
from migrations import runner
from shared.db.session import make_engine, session_factory, sqlite
from shared.job_status import JobStatus
from shared.settings import Settings
from tests import servers

RESULTS = Path(__file__).parent / "results"


def round_of(table: Table) -> None:
    """Every operation once."""
    rows = table.rows
    any_job = rows.job_id(random.randint(1, rows.count))
    with table.timed("submit"):
        newest = table.submit()
    with table.timed("claim"):
        lease = table.claim()
    with table.timed("heartbeat"):
        table.keep(lease)
    with table.timed("finish"):
        table.finish(lease)
    with table.timed("read, any job"):
        table.read(any_job)
    # The job is certainly queued, so that its position is counted in every table (claims empty a small one).
    with table.timed("read, newest waiting"):
        table.read(newest)
    with table.timed("list, newest"):
        table.list()
    with table.timed("list, after any job"):
        table.list(after=any_job)
    with table.timed("list, by status"):
        table.list(status=random.choice((JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.QUEUED)))
    with table.timed("list, by model type"):
        table.list(model_type="vae")


def latencies(tables: list[Table], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds (p50, p95) by operation and number of rows."""
    for _ in range(max(5, rounds // 20)):
        for table in tables:
            round_of(table)
    for table in tables:
        table.times.clear()
    for _ in range(rounds):
        for table in tables:
            round_of(table)
    return {
        operation: {str(table.rows.count): spread(table.times[operation]) for table in tables}
        for operation in tables[0].times
    }


def spread(seconds: list[float]) -> dict[str, float]:
    """p50 and p95 in milliseconds."""
    ordered = sorted(1000 * each for each in seconds)
    return {"p50": ordered[len(ordered) // 2], "p95": ordered[int(0.95 * (len(ordered) - 1))]}


def throughputs(tables: list[Table], slices: int) -> dict[str, dict[str, float]]:
    """Jobs per second by number of rows: submitted; and claimed, renewed once and finished. Tables take turns."""
    done: dict[str, dict[str, list[float]]] = {str(table.rows.count): {} for table in tables}
    for _ in range(slices):
        for table in tables:
            for threads in (1, 4):
                table.restock()
                for name, step in (("submitted", table.submit), ("finished", table.work)):
                    speeds = done[str(table.rows.count)].setdefault(f"{name}/s, {threads} thread(s)", [])
                    speeds.append(per_second(step, threads=threads))
    return {size: {name: statistics.median(speeds) for name, speeds in found.items()} for size, found in done.items()}


def per_second(step: Callable[[], object], *, threads: int) -> float:
    """Calls per second of a step that so many threads make together."""
    stop_at = time.perf_counter() + 1.0

    def repeat(_: int) -> int:
        count = 0
        while time.perf_counter() < stop_at:
            step()
            count += 1
        return count

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(repeat, range(threads)))
    return total / (time.perf_counter() - started)


# --- databases --------------------------------------------------------------------------------------------------


@contextmanager
def table_of(url: str, count: int, folder: Path) -> Iterator[Table]:
    """A migrated database with `count` jobs."""
    settings = Settings(home=folder / f"home-{count}", database_url=SecretStr(url), datasets_dir=None)
    started = time.perf_counter()
    runner.upgrade(settings)
    engine = make_engine(settings)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        rows = fill(connection, count)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("VACUUM ANALYZE"))
    print(f"{engine.dialect.name}: {count:,} jobs in {time.perf_counter() - started:.0f} s", flush=True)
    yield Table(rows=rows, settings=settings, engine=engine, sessions=session_factory(engine))
    engine.dispose()


@contextmanager
def postgresql() -> Iterator[Callable[[int], str]]:
    """A PostgreSQL server with full durability; yields a function that makes a database and returns its URL."""
    with servers.postgresql() as server:
        url = make_url(server).set(drivername="postgresql+psycopg")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("ALTER SYSTEM RESET ALL"))
            connection.execute(text("SELECT pg_reload_conf()"))

        def create(count: int) -> str:
            with engine.connect() as connection:
                connection.execute(text(f"CREATE DATABASE bench_{count}"))
            return url.set(database=f"bench_{count}").render_as_string(hide_password=False)

        yield create
        engine.dispose()


def measure(kind: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures of one kind of database."""
    with ExitStack() as stack:
        if kind == "postgresql":
            create = stack.enter_context(postgresql())
        else:
            create = lambda count: f"sqlite:///{folder / f'bench-{count}.db'}"  # noqa: E731
        tables = [stack.enter_context(table_of(create(count), count, folder)) for count in options.rows]
        return {
            "latency_ms": latencies(tables, options.rounds),
            "throughput": throughputs(tables, options.slices),
        }


# --- the report -------------------------------------------------------------------------------------------------


def report(results: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["# The engine alone", "", results["machine"], ""]
    for kind, found in results["databases"].items():
        sizes = list(found["throughput"])
        lines += [f"## {kind}", "", "p50 / p95 in ms:", ""]
        lines += [f"| | {' | '.join(f'{int(size):,} jobs' for size in sizes)} | last to first, p50 / p95 |"]
        lines += ["|---" * (len(sizes) + 2) + "|"]
        for operation, by_size in found["latency_ms"].items():
            cells = [f"{by_size[size]['p50']:.1f} / {by_size[size]['p95']:.1f}" for size in sizes]
            cells.append(" / ".join(f"{by_size[sizes[-1]][p] / by_size[sizes[0]][p]:.2f}" for p in ("p50", "p95")))
            lines.append(f"| {operation} | {' | '.join(cells)} |")
        lines += ["", f"| | {' | '.join(f'{int(size):,} jobs' for size in sizes)} |", "|---" * (len(sizes) + 1) + "|"]
        for name in found["throughput"][sizes[0]]:
            cells = [f"{found['throughput'][size][name]:,.0f}" for size in sizes]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def machine() -> str:
    """The machine of the figures. Call it before the work, because the work itself raises the load."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), load {load:.1f} at the start, Python "
        f"{platform.python_version()}, SQLite {sqlite.sqlite_version}; `make bench-engine`."
    )


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--rounds", type=int, default=200, help="times that each operation is done on each table")
    parser.add_argument("--slices", type=int, default=5, help="seconds that each throughput is measured for")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "databases": {}}
    for kind in options.databases:
        with tempfile.TemporaryDirectory(prefix="mimeo-bench-") as folder:
            results["databases"][kind] = measure(kind, options, Path(folder))
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "engine.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.results / "engine.md").write_text(report(results))
    print(json.dumps(results, indent=1))
    print(report(results))


if __name__ == "__main__":
    main()
