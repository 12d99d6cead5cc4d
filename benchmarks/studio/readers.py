"""Readers of streams in a process of their own: `python -m benchmarks.studio.readers HOST PORT PATHS`.

PATHS: a JSON list of paths. Prints `open` when each stream has sent its first event, and reads until standard input
ends. Then prints one JSON object: the number of events of all streams, and of the stream with the fewest.
"""

import asyncio
import json
import sys

OPEN_S = 60.0


class Reader:
    """One stream. events: received so far."""

    def __init__(self) -> None:
        self.events = 0
        self.is_open = asyncio.Event()

    async def read(self, host: str, port: int, path: str) -> None:
        """Read until the server ends the stream."""
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n\r\n".encode())
        async for line in reader:
            if line.startswith(b"event: "):
                self.events += 1
                self.is_open.set()


async def main(host: str, port: int, paths: list[str]) -> None:
    """Read all streams."""
    readers = [Reader() for _ in paths]
    tasks = [asyncio.create_task(each.read(host, port, path)) for each, path in zip(readers, paths, strict=True)]
    async with asyncio.timeout(OPEN_S):
        await asyncio.gather(*(each.is_open.wait() for each in readers))
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    events = [each.events for each in readers]
    print(json.dumps({"events": sum(events), "fewest": min(events)}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])))
