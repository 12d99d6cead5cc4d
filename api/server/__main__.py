"""`python -m api.server`: the API on `MIMEO_HOST` and `MIMEO_PORT`."""

import sys

from api.server.serving import serve
from api.wsgi import app
from shared.settings import Settings

if __name__ == "__main__":
    sys.exit(serve(app, Settings()))
