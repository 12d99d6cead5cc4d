"""Sampling from published checkpoints."""
