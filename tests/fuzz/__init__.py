"""Seeded mutations of valid input. The short form is part of `make test-all`; `make fuzz` runs the long one.

MIMEO_FUZZ_SEED (1) chooses the mutations, so that a failure can be repeated.
"""

import os

SEED = int(os.environ.get("MIMEO_FUZZ_SEED", "1"))
IS_LONG = os.environ.get("MIMEO_FUZZ_LONG", "0") == "1"
REQUESTS = 10_000 if IS_LONG else 1_000
UPLOADS = 1_000 if IS_LONG else 100
MESSAGES = 100_000 if IS_LONG else 5_000
TEXTS = 100_000 if IS_LONG else 5_000
EOF_S = 30.0  # a response that takes longer fails
