"""The API under load, side by side with another checkout: `python -m benchmarks.load --before CHECKOUT`.

Each side runs its own API on its own home, database and embedded Redis, without workers; CHECKOUT has an environment in
`.venv`. The sides alternate. Measured with 8, 64 and 200 connections that are always busy: GET of a job, list of jobs,
POST of a job. Then `/healthz` on a new connection every 10 ms, beside 1,000 slow clients of each kind, and beside 32
busy clients, 300 requests that wait and 200 open event streams (this side only). Memory and descriptors are read before
and at rest after all of it.

Prints a table and writes benchmarks/results/load.json. It takes about five minutes.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.load.sides import STREAM_PATH, Side, running
from benchmarks.quality import commit, machine
from tests.slow_clients import Line, held, probe, request, slow_lines, summary

RESULTS = Path(__file__).parent.parent / "results" / "load.json"
ROOT = Path(__file__).parent.parent.parent
CONNECTIONS = (8, 64, 200)
SLOW = 1000
PROBE_S = 3.0
REST_S = 15.0


def operations(side: Side) -> dict[str, list[bytes]]:
    """The requests of each operation, which clients send in turn."""
    body = b'{"model_type": "vae", "dataset": "digits"}'
    return {
        "GET job": [request("GET", f"/v1/training-jobs/{job}") for job in side.jobs],
        "list jobs": [request("GET", "/v1/training-jobs?limit=20")],
        "POST job": [request("POST", "/v1/training-jobs", body=body)],
    }


@contextmanager
def busy(side: Side, requests: list[bytes], connections: int, seconds: float) -> Iterator[Callable[[], dict[str, Any]]]:
    """Busy clients in a process of their own; yields a function that waits for them and returns their figures."""
    host, port = side.address
    command = [sys.executable, "-m", "benchmarks.load.clients", host, str(port), str(connections), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        process.stdin.write("\n".join(json.dumps(one.decode()) for one in requests))
        process.stdin.close()
        process.stdin = None

        def figures() -> dict[str, Any]:
            result = json.loads(process.communicate(timeout=seconds + 60)[0])
            taken = result["milliseconds"] or [float("inf")]
            return {**summary(taken), "per_s": round(len(taken) / seconds), "errors": result["errors"]}

        yield figures


def slow_clients(side: Side) -> dict[str, Any]:
    """`/healthz` alone and beside slow clients of each kind."""
    rows: dict[str, Any] = {"no other client": summary(probe(side.address, PROBE_S))}
    for line in slow_lines(side.large):
        with held(side.address, line, SLOW) as connections:
            time.sleep(1)
            row = summary(probe(side.address, PROBE_S))
            rows[line.name] = {**row, "connections": len(connections), "threads": side.threads()}
        time.sleep(1)
    return rows


def waits_and_streams(side: Side) -> dict[str, Any]:
    """`/healthz` beside 32 busy clients, then with 300 waits and 200 streams too."""
    body = json.dumps({"model": side.model}).encode()
    waits = Line(name="waits", sent=request("POST", "/v1/generation-jobs", "Prefer: wait=60", body=body))
    streams = Line(name="streams", sent=request("GET", STREAM_PATH), answers=True)
    rows: dict[str, Any] = {}
    with busy(side, operations(side)["GET job"], 32, PROBE_S + 2) as figures:
        time.sleep(1)
        rows["32 busy clients"] = summary(probe(side.address, PROBE_S))
        rows["32 busy clients"]["busy"] = figures()
    with ExitStack() as stack:
        open_waits = stack.enter_context(held(side.address, waits, 300))
        open_streams = stack.enter_context(held(side.address, streams, 200))
        time.sleep(3)
        with busy(side, operations(side)["GET job"], 32, PROBE_S + 2) as figures:
            time.sleep(1)
            name = f"32 busy clients, {len(open_waits)} waits, {len(open_streams)} streams"
            rows[name] = {**summary(probe(side.address, PROBE_S)), "threads": side.threads()}
            rows[name]["busy"] = figures()
        for connection in (*open_waits, *open_streams):
            connection.setblocking(False)
        rows[name]["answered_early"] = sum(_has_data(one) for one in open_waits)
        rows[name]["streams_with_events"] = sum(_has_data(one) for one in open_streams)
    return rows


def _has_data(connection: Any) -> bool:
    try:
        return bool(connection.recv(65536))
    except BlockingIOError:
        return False


def measure(sides: list[Side], seconds: float) -> dict[str, Any]:
    """All figures by side, taking turns."""
    figures: dict[str, Any] = {side.name: {"at_start": _resources(side), "load": {}} for side in sides}
    for operation in operations(sides[0]):
        for connections in CONNECTIONS:
            for side in sides:
                with busy(side, operations(side)[operation], connections, seconds) as result:
                    row = result()
                figures[side.name]["load"][f"{operation}, {connections} connections"] = row
                print(f"{side.name:7} {operation:10} {connections:4}  {_line(row)}", flush=True)
    for side in sides:
        figures[side.name]["healthz"] = slow_clients(side)
        if side.name == "now":
            figures[side.name]["healthz"] |= waits_and_streams(side)
        for name, row in figures[side.name]["healthz"].items():
            print(f"{side.name:7} /healthz beside {name:45} {_line(row)}", flush=True)
    time.sleep(REST_S)
    for side in sides:
        figures[side.name]["at_rest_after"] = _resources(side)
        print(f"{side.name:7} at start {figures[side.name]['at_start']}, at rest after {_resources(side)}", flush=True)
    return figures


def _resources(side: Side) -> dict[str, float]:
    return {**side.memory(), "descriptors": side.descriptors(), "threads": side.threads()}


def _line(row: dict[str, Any]) -> str:
    per_s = f" {row['per_s']:5}/s" if "per_s" in row else ""
    errors = f" errors {row['errors']}" if "errors" in row else ""
    return f"p50 {row['p50']:8.1f} ms  p99 {row['p99']:8.1f} ms  max {row['max']:8.1f} ms{per_s}{errors}"


def main() -> None:
    """Print the figures and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout with an environment in .venv")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each operation and number of connections")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "commit": commit(), "seconds": options.seconds}
    with ExitStack() as stack:
        sides = []
        if options.before:
            checkout = options.before.resolve()
            sides.append(stack.enter_context(running("before", checkout, checkout / ".venv" / "bin" / "python")))
        sides.append(stack.enter_context(running("now", ROOT, Path(sys.executable), has_streams=True)))
        result["sides"] = measure(sides, options.seconds)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
