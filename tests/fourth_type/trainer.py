"""The trainer with the fourth model type in its registry: `python -m tests.fourth_type.trainer SPEC RUN_DIR`."""

import sys

from shared import model_types
from tests.fourth_type.contract import SKETCH

model_types.REGISTRY[SKETCH.name] = SKETCH

if __name__ == "__main__":
    from worker.train import main

    sys.exit(main())
