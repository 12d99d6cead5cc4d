"""Busy clients in a process of their own: `python -m benchmarks.load.clients HOST PORT CONNECTIONS SECONDS` < requests.

Standard input has one JSON string per line, a complete request. Each connection sends the requests in turn, the next
one after the answer. Prints one JSON object: milliseconds of all answers, and the number of errors.
"""

import asyncio
import json
import re
import sys
import time

LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
ANSWER_TIMEOUT_S = 30.0


async def answer(reader: asyncio.StreamReader) -> int:
    """Read one answer with a Content-Length; returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    if length:
        await reader.readexactly(int(length[1]))
    return int(head[9:12])


async def client(host: str, port: int, requests: list[bytes], end: float, first: int) -> tuple[list[float], int]:
    """One connection that is always busy; it reconnects after an error."""
    taken: list[float] = []
    errors, turn = 0, first
    while time.monotonic() < end:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            errors += 1
            await asyncio.sleep(0.1)
            continue
        try:
            while time.monotonic() < end:
                started = time.perf_counter()
                writer.write(requests[turn % len(requests)])
                status = await asyncio.wait_for(answer(reader), ANSWER_TIMEOUT_S)
                taken.append(1e3 * (time.perf_counter() - started))
                errors += status >= 400
                turn += 1
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            errors += 1
        finally:
            writer.close()
    return taken, errors


async def load(host: str, port: int, connections: int, seconds: float, requests: list[bytes]) -> dict[str, object]:
    """All connections together."""
    end = time.monotonic() + seconds
    each = await asyncio.gather(*(client(host, port, requests, end, 31 * number) for number in range(connections)))
    return {"milliseconds": [one for taken, _ in each for one in taken], "errors": sum(errors for _, errors in each)}


if __name__ == "__main__":
    given = [json.loads(line).encode() for line in sys.stdin]
    print(json.dumps(asyncio.run(load(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), given))))
