"""What a WSGI server loads: `gunicorn -c python:api.gunicorn_conf api.wsgi:app`."""

from api.app import create_app
from shared.settings import Settings

app = create_app(Settings())
