"""Training and generation: everything that may import torch."""

import os

# OpenMP's idle threads spin for milliseconds in the hope of work, and libgomp counts only its own process: as soon as
# two of them share the cores each waits for the other's spinning (measured on 2 cores at a load of 10: 1,600 ms for a
# VAE step, 23 ms with sleeping threads). Has to be set before torch is imported, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
