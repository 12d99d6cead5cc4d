"""Checkpoints: their manifest, on local disk, and in storage."""
