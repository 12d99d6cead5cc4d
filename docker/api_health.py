"""Exit 0 while the API of this container answers. It runs every few seconds, so its imports are minimal.

It does not check the database, which /readyz reports: a restart of the API would not repair that.
"""

import sys
from http.client import HTTPConnection, HTTPException

try:
    connection = HTTPConnection("127.0.0.1", 8000, timeout=8)
    connection.request("GET", "/healthz")
    sys.exit(connection.getresponse().status != 200)
except (OSError, HTTPException) as error:
    sys.exit(f"no answer: {error}")
