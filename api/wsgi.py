"""The API as a WSGI application, `api.wsgi:app`. `python -m api.server` serves it."""

import sys

from pydantic import ValidationError

from api.app import create_app
from shared import logs, tracing
from shared.errors import SetupError
from shared.settings import Settings, check_exposure, reason

try:
    _settings = Settings()
    check_exposure(_settings)
    tracing.configure("api")
except (SetupError, ValidationError) as error:
    print(f"mimeo: {reason(error)}", file=sys.stderr)
    sys.exit(2)
logs.configure(_settings, "api")
app = create_app(_settings)
