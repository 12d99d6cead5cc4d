"""Gunicorn's settings: one process, request threads. Read with `gunicorn -c python:api.gunicorn_conf api.wsgi:app`.

One process, because SQLite has one writer and the API waits for databases, not for processors.
"""

from pathlib import Path

from shared.settings import Settings

_settings = Settings()

bind = f"{_settings.host}:{_settings.port}"
worker_class = "gthread"
workers = 1
threads = _settings.api_threads
worker_connections = 1000
keepalive = 30
# A worker that answers no heartbeat for this long is restarted; request threads may wait (`Prefer: wait=60`).
timeout = 120
graceful_timeout = 10
# The heartbeat file must not wait for a disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn names it unguessably
# Its control socket would lie in the user's home folder, shared by all stacks of the user.
control_socket_disable = True
limit_request_line = 8190
limit_request_fields = 100
accesslog = None  # the application writes one structured line per request
errorlog = "-"
loglevel = _settings.log_level
