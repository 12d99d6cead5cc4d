"""Figures of the studio in a real Chromium: `python -m benchmarks.studio`."""
