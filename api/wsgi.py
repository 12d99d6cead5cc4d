"""Entry point of a WSGI server: `gunicorn -c python:api.gunicorn_conf api.wsgi:app`."""

from api.app import create_app
from shared import logs
from shared.settings import Settings

_settings = Settings()
logs.configure(_settings)
app = create_app(_settings)
