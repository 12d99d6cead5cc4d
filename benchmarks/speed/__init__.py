"""`make bench`: Mimeo's steps and samples beside plain PyTorch and Keras, in turn, in one run."""

import os

from worker.openmp import wait_policy

# Before torch is imported: every implementation gets the threads of a trainer that is alone on its machine.
os.environ |= wait_policy(os.environ, is_alone=True)
