"""Serves the API with one more route, for open streams."""

import sys
import time
from collections.abc import Iterator

from api.server.serving import serve
from api.wsgi import app
from shared.settings import Settings

PATH = "/benchmark/stream"  # STREAM_PATH of sides.py


def stream() -> "app.response_class":
    """Server-sent events, one per second, without end."""

    def events() -> Iterator[bytes]:
        while True:
            yield b"data: {}\n\n"
            time.sleep(1)

    return app.response_class(events(), mimetype="text/event-stream")


app.add_url_rule(PATH, "stream", stream)

if __name__ == "__main__":
    sys.exit(serve(app, Settings()))
