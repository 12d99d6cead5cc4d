"""The trainer with a limit of memory: `python -m tests.worker.limited_trainer MEGABYTES SPEC.json RUN_DIR …`.

The limit is beyond what the process has after the imports and a first backward pass. The kernel enforces it.
"""

import resource
import sys
from pathlib import Path

import torch
import torch._dynamo

import worker.trainer.run  # noqa: F401
from worker import train

MIB = 1 << 20


def main() -> int:
    limit = int(sys.argv.pop(1)) * MIB
    torch.nn.Linear(4, 4)(torch.ones(2, 4)).sum().backward()
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    used = int(lines["VmData"].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + limit, used + limit))
    return train.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
