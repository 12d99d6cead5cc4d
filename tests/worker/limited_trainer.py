"""The trainer with a limit of memory: `python -m tests.worker.limited_trainer MEGABYTES SPEC.json RUN_DIR …`.

The limit is beyond what the process has after the imports and a first backward pass. The kernel enforces it. The run
computes in float32 on every machine, and freed tensors go back to the system at once, so that its need is the same.
"""

import ctypes
import json
import resource
import sys
from pathlib import Path

import torch
import torch._dynamo

import worker.trainer.run  # noqa: F401
from worker import train

MIB = 1 << 20
_M_MMAP_THRESHOLD = -3  # of mallopt(3): larger blocks are mapped, and unmapped when they are freed


def main() -> int:
    limit = int(sys.argv.pop(1)) * MIB
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MIB)
    spec = Path(sys.argv[1])
    spec.write_text(json.dumps(json.loads(spec.read_text()) | {"precision": "float32", "threads": 1}))
    torch.nn.Linear(4, 4)(torch.ones(2, 4)).sum().backward()
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    used = int(lines["VmData"].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + limit, used + limit))
    return train.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
