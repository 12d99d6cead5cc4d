"""Memory estimates of the contracts beside measured peaks: `python -m benchmarks.memory`."""
