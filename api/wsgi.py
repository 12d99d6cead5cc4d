"""Entry point of a WSGI server: `gunicorn -c python:api.gunicorn_conf api.wsgi:app`."""

import sys

from pydantic import ValidationError

from api.app import create_app
from shared import logs
from shared.errors import SetupError
from shared.settings import Settings, reason

try:
    _settings = Settings()
except (SetupError, ValidationError) as error:
    print(f"mimeo: {reason(error)}", file=sys.stderr)
    sys.exit(2)
logs.configure(_settings)
app = create_app(_settings)
