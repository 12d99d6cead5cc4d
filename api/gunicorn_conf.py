"""Gunicorn's settings: one process, request threads. Read with `gunicorn -c python:api.gunicorn_conf api.wsgi:app`.

One process, because SQLite has one writer and the API is bound by databases, not by processors.
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
# A worker without a heartbeat for this long is restarted. Request threads may wait longer (`Prefer: wait=60`).
timeout = 120
graceful_timeout = 10
# The heartbeat file must not wait for a disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn chooses an unguessable name
# Its control socket would be in the user's home folder, shared by all stacks of the user.
control_socket_disable = True
limit_request_line = 8190
limit_request_fields = 100
accesslog = None  # the application writes one structured line per request
errorlog = "-"
loglevel = _settings.log_level
